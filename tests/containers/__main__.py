"""Starts docker-compose.yml in an engine of its own, without a registry, and plays the three recoveries in it."""

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from failover.model import format_span
from tests.containers.bureau import Bureau
from tests.containers.engine import Engine
from tests.containers.images import provide
from tests.containers.play import WITHIN_SECONDS, Markers, Play, Played, watch
from tests.lab.errors import LabError, LabUnavailable
from tests.lab.layers import cache


def killed(server: str, unit: str) -> Callable[[Bureau], object]:
    """Every process of a unit ends at once."""
    return lambda bureau: bureau.on(server, "systemctl", "kill", "--signal=KILL", unit)


def started(server: str, unit: str) -> Callable[[Bureau], object]:
    """A person starts it again."""
    return lambda bureau: bureau.on(server, "sh", "-c", f"systemctl reset-failed {unit}; systemctl start {unit}")


def switched(role: str) -> Callable[[Bureau], object]:
    """A person fails back."""
    return lambda bureau: bureau.cli("switch", role, "--yes", timeout=WITHIN_SECONDS)


DATABASE = "postgresql@15-main"
PLAYS = (
    Play("nginx on web is killed", "web", "web", "web-backup", "recover", killed("web", "nginx"),
         started("web", "nginx")),
    Play("failover switch web", "web", "web-backup", "web", "switch", switched("web")),
    Play("the WCM is killed", "wcm", "wcm", "wcm-backup", "recover", killed("wcm", "wcm")),
    Play("failover switch wcm", "wcm", "wcm-backup", "wcm", "switch", switched("wcm")),
    Play("the database is killed", "database", "db", "db-backup", "recover", killed("db", DATABASE),
         started("db", DATABASE), loses=True),
    Play("failover switch database", "database", "db-backup", "db", "switch", switched("database")),
)  # fmt: skip


def main() -> int:
    """Exit code 0 only if every recovery and every way back was whole."""
    console = Console(width=118, highlight=False)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {text}")

    try:
        with Engine(cache().parent / "containers") as engine:
            say("a container engine of its own runs; it has no way out")
            provide(engine)
            say("the base images are there; docker compose build, up --wait")
            with Bureau(engine) as bureau:
                say(f"up: {' '.join(sorted(bureau.compose('ps', '--services').out.split()))}")
                played = show(bureau, say)
    except LabUnavailable as error:
        console.print(str(error), style="red")
        return 1
    say("everything is down")
    tables(console, played)
    faults = [f"{one.play.what}: {fault}" for one in played for fault in one.faults]
    for fault in faults:
        console.print(fault, style="red")
    if not faults:
        console.print("every recovery was whole", style="green")
    return 1 if faults else 0


def show(bureau: Bureau, say: Callable[[str], None]) -> list[Played]:
    """Let everything happen, one after another."""
    played = []
    try:
        bureau.well()
        say("all is well: every server enrolled, every plan would work now; visitors and editors are at work")
        markers = Markers(bureau)
        for play in PLAYS:
            say(play.what)
            played.append(watch(bureau, play, markers))
            say(f"  {play.role} is held by {play.new}, all is well again")
    except LabError:
        say(f"containers say:\n{bureau.logs()}")
        raise
    return played


def tables(console: Console, played: list[Played]) -> None:
    """What each failure cost, and where its time went."""
    costs = Table(title="what it cost", title_justify="left")
    for column in ("", "role from", "detected after", "without the page", "without /query/", "published, then lost"):
        costs.add_column(column, justify="left" if column in ("", "role from") else "right")
    for one in played:
        costs.add_row(
            one.play.what,
            f"{one.play.old} → {one.play.new}",
            "–" if one.detected_seconds is None else format_span(one.detected_seconds),
            format_span(one.page_seconds),
            format_span(one.query_seconds),
            f"{one.lost} of {one.published}",
            style="red" if one.faults else "",
        )
    console.print(costs)
    times = Table(title="where the time of each run went", title_justify="left")
    times.add_column("")
    times.add_column("step")
    times.add_column("time", justify="right")
    for one in played:
        for number, (title, seconds) in enumerate(one.steps):
            times.add_row(one.play.what if number == 0 else "", title, format_span(seconds))
        times.add_section()
    console.print(times)


if __name__ == "__main__":
    sys.exit(main())
