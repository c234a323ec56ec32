"""Starts docker-compose.yml in an engine of its own, without a registry, and plays the three recoveries in it."""

import sys
import time
from collections.abc import Callable

from rich.console import Console

from tests.containers.bureau import Bureau
from tests.containers.engine import Engine
from tests.containers.images import provide
from tests.containers.play import WITHIN_SECONDS, Markers, Play, watch
from tests.demo.recoveries import Shown
from tests.demo.tables import costs, times
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
    Play("nginx on web is killed", "web", "web-backup", "recover", killed("web", "nginx"), started("web", "nginx")),
    Play("failback: failover switch web", "web", "web", "switch", switched("web")),
    Play("the WCM on wcm is killed", "wcm", "wcm-backup", "recover", killed("wcm", "wcm")),
    Play("failback: failover switch wcm", "wcm", "wcm", "switch", switched("wcm")),
    Play("the database on db is killed", "database", "db-backup", "recover", killed("db", DATABASE),
         started("db", DATABASE), loses=True),
    Play("failback: failover switch database", "database", "db", "switch", switched("database")),
)  # fmt: skip


def main() -> int:
    """Exit code 0 only if every recovery and every way back was whole."""
    console = Console(width=132, highlight=False)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {text}")

    try:
        with Engine(cache().parent / "containers") as engine:
            say("a container engine of its own runs; it has no way out")
            provide(engine)
            say("the base images are there; docker compose up --build --wait")
            with Bureau(engine) as bureau:
                say(f"up: {' '.join(sorted(bureau.compose('ps', '--services').out.split()))}")
                recoveries = play(bureau, say)
    except LabUnavailable as error:
        console.print(str(error), style="red")
        return 1
    say("everything is down")
    costs(console, recoveries)
    times(console, recoveries)
    bad = [one.what for one in recoveries if one.wrong]
    said = f"not whole: {', '.join(bad)}" if bad else "every recovery was whole"
    console.print(said, style="red" if bad else "green")
    return 1 if bad else 0


def play(bureau: Bureau, say: Callable[[str], None]) -> list[Shown]:
    """Let everything happen, one after another."""
    try:
        bureau.well()
        say("all is well: the six servers are enrolled, a backup is made, every plan would work now")
        markers = Markers(bureau)
        return [watch(bureau, one, markers, say) for one in PLAYS]
    except LabError:
        say(f"what the containers say:\n{bureau.logs()}")
        raise


if __name__ == "__main__":
    sys.exit(main())
