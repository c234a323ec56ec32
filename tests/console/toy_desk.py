"""A desk with state, for the API's own tests: it remembers what it was told, and answers what it knows."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from failover.console.desk import Person
from failover.errors import Busy, JournalUnwritable, NotAllowed, NotFound
from failover.model import Cause


class ToyDesk:
    """One site, ``bureau``, whose runs take as long as ``go_on`` isn't set."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.runs_made: list[dict[str, Any]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.broken: Exception | None = None

    def _check(self, site: str | None) -> None:
        if self.broken is not None:
            raise self.broken
        if site not in (None, "bureau"):
            raise NotFound(f"there is no site {site!r}; there are bureau")

    def _tell(self, *what: Any) -> Mapping[str, Any]:
        self.told.append(what)
        return {"ok": True}

    def status(self, site: str | None) -> Mapping[str, Any]:
        self._check(site)
        self.go_on.wait(10)
        return {"sites": [{"name": "bureau"}]}

    def runs(self, site: str | None, limit: int) -> Sequence[Mapping[str, Any]]:
        self._check(site)
        return self.runs_made[:limit]

    def run(self, site: str | None, number: int) -> Mapping[str, Any]:
        self._check(site)
        if not 1 <= number <= len(self.runs_made):
            raise NotFound(f"there is no run {number}")
        return self.runs_made[number - 1]

    def ready(self, site: str | None, plan: str | None) -> Mapping[str, Any]:
        self._check(site)
        return {"plans": [{"plan": plan}]}

    def backups(self, site: str | None, name: str | None) -> Mapping[str, Any]:
        self._check(site)
        return {"sets": [{"name": name}]}

    def begin_backup(
        self,
        site: str | None,
        verb: str,
        name: str,
        person: Person,
        *,
        backup: str | None,
        server: str | None,
        into: str | None,
    ) -> Mapping[str, Any]:
        self._check(site)
        return self._tell("begin_backup", verb, name, str(person), backup, server, into)

    def events(self, site: str | None, *, run: int | None, after: int, limit: int) -> Sequence[Mapping[str, Any]]:
        self._check(site)
        return [{"seq": after + 1, "run": run, "limit": limit}]

    def dry(self, site: str | None, role: str, verb: str) -> Mapping[str, Any]:
        self._check(site)
        return {"dry": role, "verb": verb}

    def start(
        self,
        site: str | None,
        role: str,
        verb: str,
        person: Person,
        *,
        force: str | None,
        why: str | None,
        accept_loss: bool,
    ) -> Mapping[str, Any]:
        self._check(site)
        if role == "safe":
            raise NotAllowed("there is no failure")
        if self.runs_made and self.runs_made[-1]["state"] == "running":
            raise Busy("run 1 is under way", run=1)
        self.go_on.wait(10)
        run = {"number": len(self.runs_made) + 1, "state": "running", "by": str(person), "role": role, "force": force}
        run |= {"verb": verb, "why": why, "accept_loss": accept_loss}
        self.runs_made.append(run)
        return run

    def commit(self, site: str | None, role: str, cause: Cause) -> Mapping[str, Any]:
        return self._tell("commit", role, cause)

    def resume(self, site: str | None, number: int, cause: Cause) -> Mapping[str, Any]:
        return self._tell("resume", number, cause)

    def abort(self, site: str | None, number: int, cause: Cause) -> Mapping[str, Any]:
        return self._tell("abort", number, cause)

    def mark_done(self, site: str | None, number: int, step: int, cause: Cause) -> Mapping[str, Any]:
        return self._tell("mark_done", number, step, cause)

    def word(self, site: str | None, number: int, word: str, cause: Cause) -> Mapping[str, Any]:
        return self._tell("word", number, word, cause)

    def explain(self, site: str | None, at: datetime | None) -> Mapping[str, Any]:
        self._check(site)
        return {"at": at.isoformat() if at else None, "decisions": []}

    def acknowledge(self, site: str | None, plan: str, cause: Cause) -> Mapping[str, Any]:
        return self._tell("acknowledge", plan, cause)

    def begin_maintenance(self, site: str | None, about: str, lasts_seconds: float, cause: Cause) -> Mapping[str, Any]:
        return self._tell("begin_maintenance", about, lasts_seconds, cause)

    def end_maintenance(self, site: str | None, about: str, cause: Cause) -> Mapping[str, Any]:
        return self._tell("end_maintenance", about, cause)

    def switch_automation(self, site: str | None, on: bool, cause: Cause) -> Mapping[str, Any]:
        if not on:
            raise JournalUnwritable("no space left")
        return self._tell("switch_automation", on, cause)

    def reload(self, cause: Cause) -> Mapping[str, Any]:
        return self._tell("reload", cause)

    def audit_head(self) -> Mapping[str, Any]:
        return {"seq": 1, "hash": "h"}

    def audit_verify(self) -> Mapping[str, Any]:
        return {"sound": True, "says": "all sound"}

    def notify_test(self, channel: str | None, person: Person) -> Mapping[str, Any]:
        return self._tell("notify_test", channel, person)
