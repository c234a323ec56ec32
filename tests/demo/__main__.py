"""Builds a lab, starts the daemon on its monitor, fails the web server, and watches what visitors see."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from failover.model import format_span
from tests.e2e.bureau import WEB_HOSTS, Bureau
from tests.e2e.recovery import Recovery, watch
from tests.lab import Lab, LabUnavailable

GRACE_SECONDS = 3.0
"""A daemon that has just started doesn't act for this long (`watch.grace`); what is shown is an ordinary day."""


def main() -> int:
    """Exit code 0 only if every recovery was whole: no overlap, no mixed page, content equal."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--svg", type=Path, help="also draw what is shown here into this file")
    options = parser.parse_args()
    console = Console(record=True, width=118, highlight=False)
    try:
        recoveries = show(console)
    except LabUnavailable as error:
        console.print(str(error), style="red")
        return 1
    table(console, recoveries)
    bad = [recovery.what for recovery in recoveries if not recovery.good]
    console.print(
        f"not whole: {', '.join(bad)}" if bad else "every recovery was whole", style="red" if bad else "green"
    )
    if options.svg:
        options.svg.write_text(drawn(console))
    return 1 if bad else 0


def show(console: Console) -> list[Recovery]:
    """Fail the web server twice, and fail back twice."""
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/dim]  {text}")

    say(f"building a lab of real hosts: {' '.join(WEB_HOSTS)}")
    with Lab(WEB_HOSTS) as lab:
        bureau = Bureau(lab)
        say("enrolling web, web-backup and wcm, with the operator's own key")
        bureau.enroll()
        say("systemctl start failover, on the monitor")
        bureau.start()
        bureau.ready(60)
        time.sleep(GRACE_SECONDS)
        say("the daemon is up, and its plan would work now; a visitor behind the router asks every 10 ms")
        recoveries = []

        def play(what: str, fault: Callable[[], object], old: str, new: str, kind: str) -> None:
            say(what)
            recovery = watch(bureau, what, fault, old=old, new=new, kind=kind)
            say(f"  the visitor was without the site for [bold]{format_span(recovery.outage_seconds)}[/bold]")
            recoveries.append(recovery)

        def switch() -> None:
            bureau.cli("switch", "web", "--yes", timeout=60)

        play("nginx on web is killed", lambda: lab.web.kill_service("nginx"), "web", "web-backup", "recover")
        lab.web.run("systemctl start nginx")
        bureau.cli("ack", "web", "--why", "nginx is up again")
        bureau.ready(60)
        play("failback: failover switch web", switch, "web-backup", "web", "switch")
        bureau.ready(60)
        play("web loses its power; its fence confirms that", lab.web.power_off, "web", "web-backup", "recover")
        say("web has power again, and stays parked until a person fails back")
        lab.web.boot()
        bureau.cli("ack", "web", "--why", "web has power again")
        bureau.ready(60)
        play("failback: failover switch web", switch, "web-backup", "web", "switch")
        return recoveries


def drawn(console: Console) -> str:
    """What was shown, as a picture that fetches nothing: rich's own asks a server of others for its font."""
    picture = console.export_svg(title="make demo")
    return re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", picture, flags=re.DOTALL)


def table(console: Console, recoveries: list[Recovery]) -> None:
    """What each failure cost, and where its time went."""
    costs = Table(title="what visitors saw", title_justify="left")
    for column in ("", "site from", "detected after", "decision → first reply", "outage", "overlap", "content"):
        costs.add_column(column, justify="left" if column in ("", "site from", "content") else "right")
    for one in recoveries:
        detected = "–" if one.detected_seconds is None else format_span(one.detected_seconds)
        costs.add_row(
            one.what,
            f"{one.old} → {one.new}",
            detected,
            format_span(one.reply_seconds),
            format_span(one.outage_seconds),
            format_span(one.overlap_seconds),
            "equal" if one.equal and not one.mixed else f"DIFFERS ({one.mixed} mixed replies)",
            style="" if one.good else "red",
        )
    console.print(costs)
    times = Table(title="where the time of each run went", title_justify="left")
    times.add_column("")
    times.add_column("step")
    times.add_column("time", justify="right")
    for one in recoveries:
        for number, (title, seconds) in enumerate(one.steps):
            times.add_row(one.what if number == 0 else "", title, format_span(seconds))
        times.add_section()
    console.print(times)


if __name__ == "__main__":
    sys.exit(main())
