"""The daemon is killed at every line that matters, with every fate that a request can meet there, and started again.

Afterwards the run has ended or waits for a person, nobody ever shared the address, nothing was done twice (I1, I2, I9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from failover.model import RunKind, RunState
from failover.recover import hand, proof
from tests.recover.bureau import DAEMON, HEALING, LIN, PLAN, SITE, Bureau, LeftWaiting
from tests.recover.toy_world import Killed

HEALING_PLAN = {**PLAN, "steps": [HEALING, *PLAN["steps"]]}


class Tripwire:
    """Counts the points at which a run can be cut, and cuts it at one of them."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.seen = 0
        self.dead = False

    def __call__(self, _where: str) -> None:
        if self.at is not None and self.seen == self.at and not self.dead:
            self.dead = True
            raise Killed
        self.seen += 1


class WiredJournal:
    """A journal that can be cut just before and just after each line."""

    def __init__(self, journal: Any, wire: Tripwire) -> None:
        self._journal = journal
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def append(self, kind: str, **more: Any) -> Any:
        self._wire(f"before {kind}")
        event = self._journal.append(kind, **more)
        self._wire(f"after {kind}")
        return event


def broken(bureau: Bureau) -> None:
    bureau.break_web()


def published(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.hosts["wcm"].content["/srv/site"] = {**SITE, "digest": "d2"}


def powered_off(bureau: Bureau) -> None:
    bureau.world.power_off("web")


def unseen(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.unseen.add("web-backup")


def taken(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.strangers["10.77.0.100"] = "02:ff:ff:ff:ff:ff"


def cut_off(bureau: Bureau) -> None:
    bureau.world.cut.add(("monitor", "web"))


def well(bureau: Bureau) -> None:
    """Nothing is wrong: a planned move."""


def hidden(bureau: Bureau) -> None:
    """A planned move that has to be taken back."""
    bureau.world.unseen.add("web-backup")


SCENES: dict[str, tuple[Callable[[Bureau], None], RunKind, dict[str, Any]]] = {
    "nginx broken": (broken, RunKind.RECOVER, {}),
    "published just now": (published, RunKind.RECOVER, {}),
    "restart first": (broken, RunKind.RECOVER, {"plan": HEALING_PLAN}),
    "web off, fence": (powered_off, RunKind.RECOVER, {"fence": True}),
    "web off, no fence": (powered_off, RunKind.RECOVER, {}),
    "only the monitor is cut off from web": (cut_off, RunKind.RECOVER, {}),
    "the new holder is hidden": (unseen, RunKind.RECOVER, {}),
    "a stranger has the address": (taken, RunKind.RECOVER, {}),
    "planned": (well, RunKind.SWITCH, {}),
    "planned, taken back": (hidden, RunKind.SWITCH, {}),
}


def cut(path: Path, scene: str, wire: Tripwire, fates: Iterable[tuple[str, str]] = ()) -> Bureau:
    """Begin the scene's run and lose the daemon where the wire says."""
    prepare, kind, settings = SCENES[scene]
    bureau = Bureau(path, **settings, wrap=lambda journal: WiredJournal(journal, wire))
    prepare(bureau)
    bureau.world.at_call = wire
    bureau.world.fates = list(fates)
    try:
        bureau.runner.start("web", kind, DAEMON if kind is RunKind.RECOVER else LIN)
    except (Killed, LeftWaiting):
        pass
    return bureau


def restart(bureau: Bureau) -> None:
    bureau.wrap = lambda journal: journal
    bureau.world.at_call = lambda _where: None
    bureau.world.fates = []
    try:
        bureau.restart_daemon()
    except LeftWaiting:
        pass


def judge(bureau: Bureau, where: str) -> None:
    """What must be so, whatever happened."""
    bureau.world.pass_time(120)  # whatever is still under way has its chance
    assert not bureau.world.oracle.overlaps, where
    opened = bureau.journal.events(kinds=["run.opened"])
    for event in opened:
        run = bureau.end(int(event.run or 0))
        assert run.state.ended or run.state is RunState.WAITING, f"{where}: forgotten"
        if run.state in (RunState.DONE, RunState.UNDONE):
            assert bureau.holds in (bureau.stored, None), f"{where}: the map says {bureau.stored}"
        if run.state is RunState.DONE:
            assert bureau.holds == bureau.stored, f"{where}: nobody answers"
        if run.state is RunState.STOPPED:
            assert f"failover resume {run.number}" in run.reason, where
    assert len(bureau.journal.events(kinds=["role.moved"])) <= 1, f"{where}: done twice"
    restarts = [call for call in bureau.world.calls if call[2].get("want") == "restarted"]
    assert len(restarts) <= 1, f"{where}: restarted twice"


@pytest.mark.parametrize("scene", SCENES)
def test_a_run_that_is_killed_at_any_line_is_ended_by_the_next_start(folders: Iterator[Path], scene: str) -> None:
    whole = Tripwire(None)
    cut(next(folders), scene, whole).kill_daemon()
    assert whole.seen > 20
    for point in range(whole.seen):
        wire = Tripwire(point)
        bureau = cut(next(folders), scene, wire)
        assert wire.dead, f"point {point} of {whole.seen} wasn't reached"
        known = len(bureau.journal.events(kinds=["run.opened"]))
        assert known == (point > 0), "only a run that wasn't opened may be forgotten"
        restart(bureau)
        judge(bureau, f"{scene}, killed at point {point}")
        bureau.kill_daemon()


@pytest.mark.parametrize("fate", ["executed", "lost", "late", "unreachable"])
@pytest.mark.parametrize(
    ("scene", "verb", "requests"),
    [("nginx broken", "address", 2), ("planned, taken back", "address", 4), ("web off, fence", "fence", 1)],
)
def test_a_request_that_meets_its_fate_before_a_crash_is_not_done_twice(
    folders: Iterator[Path], scene: str, verb: str, requests: int, fate: str
) -> None:
    for nth in range(requests):
        fates = [*[(verb, "")] * nth, (verb, fate)]
        whole = Tripwire(None)
        bureau = cut(next(folders), scene, whole, fates)
        judge(bureau, f"{scene}, request {nth} {fate}")
        bureau.kill_daemon()
        for point in range(whole.seen):
            bureau = cut(next(folders), scene, Tripwire(point), fates)
            restart(bureau)
            judge(bureau, f"{scene}, request {nth} {fate}, killed at point {point}")
            bureau.kill_daemon()


def test_two_crashes_in_a_row_end_well_too(folders: Iterator[Path]) -> None:
    for first in range(0, 60, 7):
        for second in range(0, 60, 11):
            bureau = cut(next(folders), "nginx broken", Tripwire(first), [("address", "late")])
            wire = Tripwire(second)
            bureau.kill_daemon()
            bureau.wrap = lambda journal, wire=wire: WiredJournal(journal, wire)  # type: ignore[misc]  # bound now
            bureau.start_daemon()
            bureau.world.at_call = wire
            try:
                bureau.runner.recover_unfinished()
            except (Killed, LeftWaiting):
                pass
            restart(bureau)
            judge(bureau, f"killed at {first} and {second}")
            bureau.kill_daemon()


# the oracle isn't blind ------------------------------------------------------------------------------------------


def test_a_proof_that_is_skipped_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = proof.Evidence("planted: silence is taken for proof", None, "")
    for module in ("released", "address_held"):
        monkeypatch.setattr(f"failover.recover.steps.{module}.evidence", lambda _scene, _name, **_: planted)
    bureau = Bureau(tmp_path)
    bureau.world.cut |= {("monitor", "web"), ("web-backup", "web")}
    bureau.recover()
    with pytest.raises(AssertionError, match="answered by web and web-backup"):
        judge(bureau, "planted")
    bureau.kill_daemon()


def test_a_deadline_that_is_not_waited_out_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late request of a run that is being taken back meets the old server's renewed hold."""
    monkeypatch.setattr(hand.Hand, "_wait_out", lambda _hand, _change: None)
    with pytest.raises(AssertionError, match="answered by web and web-backup"):
        late_request_meets_undo(tmp_path / "planted")
    monkeypatch.undo()
    late_request_meets_undo(tmp_path / "honest")


def late_request_meets_undo(path: Path) -> None:
    path.mkdir()
    bureau = Bureau(path)
    bureau.world.fates = [("address", ""), ("address", "late")]
    aborted: list[int] = []

    def abort(where: str) -> None:
        # The standby sees nobody's newer token before the late request, as when undoing finds nothing to do there.
        if where == "before ask web-backup address" and len(bureau.world.calls) == 2 and not aborted:
            aborted.append(1)
            bureau.world.cut |= {("web", "web-backup")}
            bureau.runner.abort(1, LIN)

    bureau.world.at_call = abort
    bureau.switch()
    assert aborted
    judge(bureau, "late request")
    bureau.kill_daemon()
