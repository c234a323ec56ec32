"""The bureau of docker-compose.yml, started as a person would start it, and asked what a person would ask."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from failover.config.load import load
from tests.containers.engine import Engine
from tests.e2e.bureau import short
from tests.e2e.town import all_well
from tests.lab.commands import Done
from tests.lab.errors import LabError, LabTimeout

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 1800
UP_SECONDS = 600
WELL_SECONDS = 300
STARTING_SECONDS = 10
PROOFS = "select text from bureau_marker where source = 'proof' order by id"
HAS_WCM = "select 1 from pg_database where datname = 'wcm'"

Status = dict[str, Any]
Run = dict[str, Any]


class Bureau:
    """In a ``with`` block: built and up; down with its volumes at the end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> "Bureau":
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1", timeout=120)
        up = ["up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS)]
        try:
            self.compose("--progress", "quiet", *up, timeout=BUILD_SECONDS + UP_SECONDS)
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

    # the daemon's word --------------------------------------------------------------------------------------

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
        status: Status | None = None
        while time.monotonic() < deadline:
            try:
                status = self.status()
            except LabError:
                pass  # not up yet, or just restarting
            else:
                if seen(status):
                    return status
            time.sleep(0.5)
        raise LabTimeout(f"not {what} within {within} s:\n{short(status) if status else 'no daemon answers'}")

    def well(self, within: float = WELL_SECONDS) -> None:
        """Wait until all is as on a quiet day, and every plan would work."""
        self.until("well", all_well, within)

    def another_day(self) -> None:
        """Start the daemon anew, for it counts: what fails three times within ten minutes flaps, and isn't moved.

        Waits until all is well and the daemon may act again.
        """
        self.compose("restart", "failover", timeout=120)
        grace = load(ROOT / "docker/failover.yaml", trusted=True).sites[0].watch.grace
        may_act = time.monotonic() + grace + STARTING_SECONDS
        self.well()
        time.sleep(max(0.0, may_act - time.monotonic()))

    def runs(self, kind: str) -> list[Run]:
        """Runs of a kind, the newest first."""
        runs: list[Run] = json.loads(self.cli("runs", "--limit", "1000", "-o", "json").out)["runs"]
        return sorted((run for run in runs if run["kind"] == kind), key=lambda run: -int(run["number"]))

    def run_of(self, number: int) -> Run:
        """One run with its steps."""
        run: Run = json.loads(self.cli("runs", "show", str(number), "-o", "json").out)
        return run

    def ended(self, kind: str, after: int, within: float) -> Run:
        """The first run of a kind after run ``after``, with its steps, when it has come to an end or waits for people.

        Raises:
            LabTimeout: there was none within so many seconds.
        """
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            found = [run for run in self.runs(kind) if int(run["number"]) > after]
            if found and found[-1]["state"] != "running":
                return self.run_of(int(found[-1]["number"]))
            time.sleep(0.5)
        raise LabTimeout(f"no {kind} run ended within {within} s:\n{short(self.status())}")

    def holder(self, role: str) -> str:
        """Who has a role."""
        return next(str(row["holder"]) for row in self.status()["roles"] if row["name"] == role)

    # what others see, no failover has a word in it -----------------------------------------------------------

    def publish(self, wcm: str) -> str:
        """Publish a new marker through the WCM on this server; the marker."""
        return self.on(wcm, "/usr/local/sbin/wcm-proof").out.strip()

    def markers(self, server: str) -> list[str]:
        """The markers in the database of this server, the oldest first; none where it has no database of that name."""
        return self._sql(server, "wcm", PROOFS) if self._sql(server, "postgres", HAS_WCM) else []

    def page(self, path: str) -> str:
        """A page of the site as visitors get it; empty if they don't."""
        return self.on("failover", "curl", "-fsS", "-m", "5", f"http://10.77.0.100{path}", check=False).out

    def seen(self, since: datetime | None = None) -> list[str]:
        """What the visitor has said since then, a line for each change."""
        return self._said("visitor", since)

    def heard(self, since: datetime) -> str:
        """What the one on duty has been told since then."""
        return "\n".join(self._said("phone", since))

    def logs(self) -> str:
        """The end of what every container says, for an error."""
        return self.compose("ps", "--all", check=False).out + self.compose("logs", "--tail", "12", check=False).out

    def _said(self, service: str, since: datetime | None) -> list[str]:
        when = ["--since", since.isoformat()] if since else []
        return self.compose("logs", "--no-log-prefix", *when, service).out.splitlines()

    def _sql(self, server: str, database: str, query: str) -> list[str]:
        psql = ["psql", "-XAtqv", "ON_ERROR_STOP=1", "-c", query, database]
        return self.on(server, "runuser", "-u", "postgres", "--", *psql).out.splitlines()
