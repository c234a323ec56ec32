"""Starts docker-compose.yml in an engine of its own, without a registry, and plays the recoveries in it."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.containers.bureau import Bureau, outages
from tests.containers.engine import Engine
from tests.containers.images import provide
from tests.lab.errors import LabError, LabUnavailable
from tests.lab.layers import cache

WITHIN_SECONDS = 120


@dataclass(frozen=True)
class Play:
    """Something that happens, and what is to become of it."""

    what: str
    role: str
    old: str
    new: str
    kind: str
    do: Callable[[Bureau], object]


PLAYS = (
    Play(
        "nginx on web is killed", "web", "web", "web-backup", "recover",
        lambda bureau: bureau.on("web", "systemctl", "kill", "--signal=KILL", "nginx"),
    ),
    Play(
        "failover switch web", "web", "web-backup", "web", "switch",
        lambda bureau: bureau.cli("switch", "web", "--yes", timeout=WITHIN_SECONDS),
    ),
)  # fmt: skip


def main() -> int:
    """Exit code 0 only if every recovery was whole."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    bad = 0
    try:
        with Engine(cache().parent / "containers") as engine:
            say("the engine runs; it has no way out")
            provide(engine)
            say("base images are there; docker compose build, up --wait")
            with Bureau(engine) as bureau:
                say(f"up: {', '.join(sorted(bureau.compose('ps', '--services').out.split()))}")
                for play in PLAYS:
                    bureau.ready(play.role)
                    say(play.what)
                    bad += not watch(bureau, play, say)
    except LabUnavailable as error:
        print(error)
        return 1
    say("everything is down")
    return 1 if bad else 0


def watch(bureau: Bureau, play: Play, say: Callable[[str], None]) -> bool:
    """Let it happen, and say what came of it; whether that was right."""
    since = datetime.now(UTC)
    last = max((int(run["number"]) for run in bureau.runs(play.kind)), default=0)
    play.do(bureau)
    deadline = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < deadline:
        newest = next(iter(bureau.runs(play.kind)), None)
        if newest and int(newest["number"]) > last and newest["state"] != "running":
            break
        time.sleep(0.5)
    else:
        raise LabError(f"no {play.kind} run ended within {WITHIN_SECONDS} s: {bureau.status()}")
    time.sleep(1)
    holder, lines = bureau.holder(play.role), bureau.seen(since)
    lost = sum(outages(lines))
    for line in [*bureau.cli("runs", "show", str(newest["number"])).out.splitlines(), *lines]:
        say(f"    {line}")
    say(f"  {play.role} is held by {holder}; the visitor was without a page for {lost:.1f} s")
    if play.role == "web" and play.kind == "recover":
        bureau.on(play.old, "systemctl", "start", "nginx")
    bureau.cli("ack", play.role, "--why", "the play goes on")
    return holder == play.new and newest["state"] == "done"


if __name__ == "__main__":
    sys.exit(main())
