"""Reads the journal's new lines and posts what people are to be told; at the start, what is still open."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from failover.journal.journal import Journal
from failover.journal.site_view import SiteView
from failover.model import Event, RunState, utc_now
from failover.monitor.tell import TOLD_KINDS, message_of, unwritten
from failover.notify.outbox import Outbox

log = logging.getLogger(__name__)

LOOK_BACK = 2_000
CALM = frozenset({"taken", "quiet", "closed", "recovered", "recovering"})
"""States of an incident in which nobody further has to be called."""


class Crier:
    """Stands between the journal and the outbox; posting never waits."""

    def __init__(self, journal: Journal, outbox: Outbox) -> None:
        self._journal = journal
        self._outbox = outbox
        self._kinds: dict[int, str] = {}
        self._stop: Callable[[], None] | None = None

    def start(self) -> None:
        """Tell what happens from now on."""
        self._stop = self._journal.subscribe(self.heard)

    def catch_up(self, view: SiteView) -> None:
        """Tell again what is still open: the outbox knows who was told already."""
        open_ = {one.number: one.changed_at for one in view.incidents.open}
        self._kinds |= {run.number: str(run.kind) for run in view.runs.unfinished}
        waiting = {run.number for run in view.runs.unfinished if run.state is RunState.WAITING}
        for event in reversed(
            self._journal.events(site=view.site, kinds=TOLD_KINDS, newest_first=True, limit=LOOK_BACK)
        ):
            incident = event.data.get("incident")
            still = (
                open_.get(incident) == event.at
                if incident is not None
                else event.kind == "run.waiting" and event.run in waiting
            )
            if still:
                self.heard(event)

    def heard(self, event: Event) -> None:
        """One line of the journal."""
        if event.kind not in TOLD_KINDS:
            return
        if event.kind == "run.opened" and event.run is not None:
            self._kinds[event.run] = str(event.data["kind"])
            while len(self._kinds) > LOOK_BACK:
                del self._kinds[next(iter(self._kinds))]
        message = message_of(event, self._kinds.get(event.run) if event.run is not None else None)
        if message is not None:
            self._outbox.post(message)
        if event.kind.startswith("incident.") and event.data.get("state") in CALM:
            self._outbox.withdraw(event.site, f"incident {event.data['incident']}")

    def unwritten(self, kind: str, site: str, data: Mapping[str, Any], error: str) -> None:
        """An event that the journal didn't take."""
        self._outbox.post(unwritten(kind, site, data, error, utc_now()))

    def stop(self) -> None:
        """Hear no more."""
        if self._stop is not None:
            self._stop()
