"""Builds a lab, starts the daemon on its monitor, fails each server, and watches what people notice."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from failover.model import format_span
from tests.demo.recoveries import Shown, watch_editors, watch_visitors
from tests.demo.tables import costs, drawn, times
from tests.e2e.bureau import Bureau, lab_config
from tests.e2e.town import all_well
from tests.lab import EVERYONE, Lab, LabUnavailable

GRACE_SECONDS = 3.0
"""A daemon that has just started doesn't act for this long (`watch.grace`); what is shown is an ordinary day."""
DATABASE = "postgresql@15-main"


def main() -> int:
    """Exit code 0 only if every recovery was whole: no overlap, no mixed page, content equal, no marker missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--svg", type=Path, help="also draw what is shown here into this file")
    options = parser.parse_args()
    console = Console(record=True, width=132, highlight=False)
    try:
        with Lab(EVERYONE, wcm="postgresql") as lab:
            play = Play(lab, console)
            play.open()
            play.three_recoveries()
            play.two_in_a_row()
    except LabUnavailable as error:
        console.print(str(error), style="red")
        return 1
    costs(console, play.recoveries)
    times(console, play.recoveries)
    bad = [one.what for one in play.recoveries if one.wrong]
    said = f"not whole: {', '.join(bad)}" if bad else "every recovery was whole"
    console.print(said, style="red" if bad else "green")
    if options.svg:
        options.svg.write_text(drawn(console))
    return 1 if bad else 0


class Play:
    """The bureau's worst day, told as it happens."""

    def __init__(self, lab: Lab, console: Console) -> None:
        self.lab, self._console = lab, console
        self.bureau = Bureau(lab, lab_config("lab-whole"))
        self.recoveries: list[Shown] = []
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """One line, with the time since the lab was up."""
        self._console.print(f"[dim]{time.monotonic() - self._began:5.1f} s[/dim]  {text}")

    def open(self) -> None:
        """Enrol everybody, start the daemon, and wait for an ordinary day."""
        self.say(f"a lab of real hosts: {' '.join(EVERYONE)}")
        self.say("enrolling the six servers, with the operator's own key")
        self.bureau.enroll()
        self.say("systemctl start failover, on the monitor")
        self.bureau.start()
        self.calm()
        time.sleep(GRACE_SECONDS)
        self.say("the daemon is up, a backup is made and restored ahead, and every plan would work now")
        self.say("a visitor behind the router asks every 10 ms; an editor publishes twice a second")

    def calm(self) -> None:
        """Until all is as on a quiet day."""
        self.bureau.until(all_well, 120)

    def three_recoveries(self) -> None:
        """Each server fails once, and each role goes home again."""
        lab = self.lab
        self.web("nginx on web is killed", lambda: lab.web.kill_service("nginx"), "web-backup")
        lab.web.run("systemctl start nginx")
        self.acknowledge("web", "nginx is up again")
        self.web("failback: failover switch web", self.switch("web"), "web", kind="switch")

        self.editors("wcm loses its power; its fence confirms that", lab.wcm.power_off, "wcm", "wcm-backup", "db")
        self.say("wcm has power again, and its WCM stays parked")
        lab.wcm.boot()
        self.acknowledge("wcm", "wcm has power again")
        self.editors("failback: failover switch wcm", self.switch("wcm"), "wcm", "wcm", "db", kind="switch")

        fault = lambda: lab.db.kill_service(DATABASE)  # noqa: E731 - a fault is a call, as the others are
        self.editors("the database on db is killed", fault, "database", "wcm", "db-backup")
        lab.db.run(f"systemctl start {DATABASE}")
        self.acknowledge("database", "db's disk was mended")
        self.editors("failback: failover switch database", self.switch("database"), "database", "wcm", "db", "switch")

    def two_in_a_row(self) -> None:
        """The WCM fails, and then the database that its backup writes to; and back."""
        lab = self.lab
        kill = lambda: lab.wcm.kill_service("wcm")  # noqa: E731 - as above
        self.editors("two in a row: the WCM is killed", kill, "wcm", "wcm-backup", "db")
        self.acknowledge("wcm", "seen", calm=True)
        fault = lab.db.power_off
        self.editors("… then db loses its power", fault, "database", "wcm-backup", "db-backup")
        lab.db.boot()
        self.acknowledge("database", "db has power again")
        self.editors("failback of both: database", self.switch("database"), "database", "wcm-backup", "db", "switch")
        self.calm()
        self.editors("failback of both: wcm", self.switch("wcm"), "wcm", "wcm", "db", "switch")

    def switch(self, role: str) -> Callable[[], object]:
        """What an operator types."""
        return lambda: self.bureau.cli("switch", role, "--yes", timeout=120)

    def acknowledge(self, plan: str, why: str, *, calm: bool = True) -> None:
        """What an operator types when a failure is over."""
        self.bureau.cli("ack", plan, "--why", why)
        if calm:
            self.calm()

    def web(self, what: str, fault: Callable[[], object], new: str, kind: str = "recover") -> None:
        """Something happens to the web server."""
        self.say(what)
        self.keep(watch_visitors(self.bureau, what, fault, new=new, kind=kind), "the visitor was without the site")

    def editors(
        self, what: str, fault: Callable[[], object], role: str, by: str, into: str, kind: str = "recover"
    ) -> None:
        """Something happens to what editors work with."""
        self.say(what)
        found = watch_editors(self.bureau, what, fault, role=role, by=by, into=into, kind=kind)
        self.keep(found, "the editor couldn't publish")

    def keep(self, found: Shown, who: str) -> None:
        """Say what it cost."""
        self.recoveries.append(found)
        lost = f"; {format_span(found.loss_seconds)} of what was written are lost" if found.loss_seconds else ""
        self.say(f"  {who} for [bold]{format_span(found.outage_seconds)}[/bold]{lost}")
        if found.wrong:
            self.say(f"  [red]{found.wrong}[/red]")


if __name__ == "__main__":
    sys.exit(main())
