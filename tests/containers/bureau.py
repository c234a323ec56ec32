"""The bureau of docker-compose.yml, started as a person would start it, and asked what a person would ask."""

import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.containers.engine import Engine
from tests.lab.commands import Done
from tests.lab.errors import LabError, LabTimeout

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 900
UP_SECONDS = 300

Status = dict[str, Any]


class Bureau:
    """In a ``with`` block: built, up and ready; down with its volumes at the end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> "Bureau":
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1", timeout=120)
        self.compose("build", "--quiet", timeout=BUILD_SECONDS)
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS), timeout=UP_SECONDS + 30)
        except LabError as error:
            raise LabError(f"{error}\n{self.logs()}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--timeout", "1", timeout=120)

    def compose(self, *words: str, check: bool = True, timeout: float = 60) -> Done:
        """``docker compose WORDS``."""
        return self._engine.run("compose", "-f", str(ROOT / "docker-compose.yml"), *words, check=check, timeout=timeout)

    def on(self, service: str, *argv: str, check: bool = True, timeout: float = 60) -> Done:
        """Run a command in a container, as root."""
        return self.compose("exec", "-T", service, *argv, check=check, timeout=timeout)

    def cli(self, *words: str, check: bool = True, timeout: float = 60) -> Done:
        """The ``failover`` command."""
        return self.on("failover", "failover", *words, check=check, timeout=timeout)

    def status(self) -> Status:
        """``failover status`` as data."""
        done = self.cli("status", "-o", "json", check=False)  # 1 means that an incident is open
        if done.code not in (0, 1):
            raise LabError(f"failover status ended with {done.code}: {done.err}")
        site: Status = json.loads(done.out)["sites"][0]
        return site

    def until(self, what: str, seen: Callable[[Status], Any], within: float) -> Status:
        """Ask for the status until ``seen`` likes it; bounded."""
        deadline = time.monotonic() + within
        status: Status = {}
        while time.monotonic() < deadline:
            status = self.status()
            if seen(status):
                return status
            time.sleep(0.5)
        said = json.dumps({key: status.get(key) for key in ("roles", "plans", "servers")}, ensure_ascii=False, indent=1)
        raise LabTimeout(f"not {what} within {within} s: {said}")

    def ready(self, plan: str, within: float = 90) -> None:
        """Wait until every server is reachable, and the plan would work."""
        self.until(
            f"ready ({plan})",
            lambda status: (
                all(one["state"] == "reachable" for one in status["servers"])
                and all(one["ready"] and one["action"] == "nothing" for one in status["plans"] if one["name"] == plan)
            ),
            within,
        )

    def runs(self, kind: str) -> list[dict[str, Any]]:
        """Runs of a kind, the newest first."""
        runs: list[dict[str, Any]] = json.loads(self.cli("runs", "-o", "json").out)["runs"]
        return sorted((run for run in runs if run["kind"] == kind), key=lambda run: -int(run["number"]))

    def holder(self, role: str) -> str:
        """Who has a role, by the daemon's word."""
        return next(str(row["holder"]) for row in self.status()["roles"] if row["name"] == role)

    def seen(self, since: datetime) -> list[str]:
        """What the visitor has said since then, a line for each change."""
        return self.compose("logs", "--no-log-prefix", "--since", since.isoformat(), "visitor").out.splitlines()

    def logs(self) -> str:
        """The end of what every container says, for an error."""
        return self.compose("ps", "--all", check=False).out + self.compose("logs", "--tail", "30", check=False).out


def outages(lines: list[str]) -> list[float]:
    """How long the visitor had no page, each time, in seconds."""
    return [float(found[1]) for line in lines if (found := re.search(r"\(for ([\d.]+) s before: (?!200 )", line))]
