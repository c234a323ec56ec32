"""The whole site in the lab, for benchmarks that let its WCM or its database fail again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import results, story
from tests.e2e.bureau import Bureau, lab_config
from tests.e2e.town import all_well
from tests.lab import EVERYONE, Lab

GRACE_SECONDS = 5.0
"""A daemon that has just started doesn't act for 3 s; this is that and some more."""
WELL_SECONDS = 120.0


@contextmanager
def site(engine: str = "postgresql", disks: Path | None = None) -> Iterator[Bureau]:
    """A site that is well, on a WCM; its daemon is only told to restore ahead more often, so that nobody waits long."""
    with Lab(EVERYONE, wcm=engine, disks=disks) as lab:
        bureau = Bureau(lab, config())
        bureau.up()
        bureau.until(all_well, WELL_SECONDS)
        yield bureau


def config() -> str:
    """The lab's whole site.

    Raises:
        ValueError: ``configs/lab-whole.yaml`` no longer has what is changed here.
    """
    text = lab_config("lab-whole")
    swaps = {
        "ahead_every: 30s": "ahead_every: 10s",
        # What grows by fifty times within a minute is a benchmark, and no damaged backup.
        "path: /var/backups/failover/wcm-db\n": "path: /var/backups/failover/wcm-db\n    largest_percent: 100000\n",
    }
    for usual, ours in swaps.items():
        if text.count(usual) != 1:
            raise ValueError(f"configs/lab-whole.yaml has {usual!r} {text.count(usual)} times, not once")
        text = text.replace(usual, ours)
    return text


def anew(bureau: Bureau) -> None:
    """Let the daemon forget the rounds before, whose failures would make it call a role flapping, and rightly."""
    bureau.monitor.run("systemctl reset-failed failover; systemctl restart failover", timeout=60, check=False)
    bureau.until(all_well, WELL_SECONDS)
    time.sleep(GRACE_SECONDS)


@contextmanager
def unwatched(bureau: Bureau) -> Iterator[None]:
    """Without the daemon: what is done to a service now is nobody's failure."""
    bureau.monitor.run("systemctl stop failover", timeout=60)
    try:
        yield
    finally:
        bureau.monitor.run("systemctl reset-failed failover; systemctl start failover", timeout=60, check=False)


def runs_so_far(events: list[story.Event]) -> int:
    """The newest run's number."""
    return max((run for _, _, run, _ in events if run), default=0)


def move_home(bureau: Bureau, role: str) -> None:
    """Acknowledge what happened, and move a role back where it belongs."""
    bureau.cli("ack", role, "--why", "the round is over")
    bureau.until(all_well, WELL_SECONDS)
    home = next(one["home"] for one in bureau.status()["roles"] if one["name"] == role)
    if bureau.holder(role) != home:
        bureau.cli("switch", role, "--yes", timeout=120)
        bureau.until(all_well, WELL_SECONDS)


def spans(rounds: list[dict[str, float]], *names: str) -> dict[str, object]:
    """The spread of each of these figures."""
    return {name: results.spread(each[name] for each in rounds) for name in names}
