"""What the benchmarks make of what they saw: the arithmetic that a wrong figure would hide in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from failover.config.load import load
from tests.bench import database_failover, docs, filler, outage, profiles, restore, results, story, wcm_failover
from tests.bench.knocking import gap
from tests.bench.parts import PARTS
from tests.bench.sheet import Sheet, judged, shown, times
from tests.lab import Outage


class Saw:
    """A visitor who remembers these gaps."""

    def __init__(self, *gaps: tuple[float, float]) -> None:
        self._gaps = [Outage(start, end, 1) for start, end in gaps]

    def outages(self, longer_than: float) -> list[Outage]:
        return [gap for gap in self._gaps if gap.seconds > longer_than]


@pytest.mark.parametrize(
    ("gaps", "seconds"),
    [
        ([(9.99, 12.0)], 2.0),  # counted from the fault on
        ([(1.0, 8.0), (10.1, 10.6)], 0.5),  # what was before the fault isn't its outage
        ([(10.0, 10.2), (11.0, 14.0), (15.0, 15.5)], 3.0),
        ([(1.0, 9.0)], 0.0),
    ],
)
def test_an_outage_counts_from_the_fault_on(gaps: list[tuple[float, float]], seconds: float) -> None:
    saw: Any = Saw(*gaps)
    assert outage.outage(saw, 10.0) == pytest.approx(seconds)


def test_a_spread_is_median_least_and_most_in_the_order_of_the_runs() -> None:
    assert results.spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "runs": [3.0, 1.0, 2.0]}
    assert results.spread([])["median"] is None


def test_a_ratio_is_ours_over_theirs_and_nothing_without_either() -> None:
    ours, theirs = results.spread([1.0]), results.spread([2.0])
    assert results.ratio(ours, theirs) == 0.5
    assert results.ratio(results.spread([]), theirs) is None
    assert results.ratio(ours, results.spread([])) is None


def test_an_aim_is_met_at_its_limit_and_missed_above_it() -> None:
    assert (judged(0.81, 0.81), judged(0.82, 0.81), judged(None, 1.0)) == ("met", "**missed**", "–")
    assert (times(0.94), times(None), shown(results.spread([]))) == ("0.94×", "–", "–")


def test_time_is_told_from_milestone_to_milestone() -> None:
    events: list[story.Event] = [
        (9.0, "verdict.changed", None, {"check": "website", "standing": "down"}),  # of an older fault
        (10.2, "verdict.changed", None, {"check": "website", "standing": "suspect"}),
        (10.5, "verdict.changed", None, {"check": "website", "standing": "down"}),
        (10.6, "run.opened", 7, {"kind": "recover", "steps": ["released", "held"]}),
        (10.6, "step.started", 7, {"step": 1}),
        (10.8, "step.done", 7, {"step": 1}),
        (10.9, "step.done", 8, {"step": 1}),  # of another run
        (11.5, "step.done", 7, {"step": 2}),  # after the visitor was served already
    ]
    slow = story.stages(events, 10.0, 11.0)
    assert slow == {
        "first failed look": 0.2, "down is certain": 0.5, "run opened": 0.6, "step 1 begun": 0.6,
        "step 1: released": 0.8, "first good reply": 1.0,
    }  # fmt: skip
    quick = story.stages(events, 10.0, 12.0)
    assert quick["step 2: held"] == 1.5
    between = story.between([slow, quick])  # a milestone that one round didn't reach in time isn't one
    assert {name: one["runs"] for name, one in between.items()} == {
        "first failed look": [0.2, 0.2], "down is certain": [0.3, 0.3], "run opened": [0.1, 0.1],
        "step 1 begun": [0.0, 0.0], "step 1: released": [0.2, 0.2], "first good reply": [0.2, 1.2],
    }  # fmt: skip


@pytest.mark.parametrize("name", [profiles.DEFAULT, profiles.FAST])
def test_a_profile_is_a_config_with_one_address_and_its_timers(name: str, tmp_path: Path) -> None:
    file = tmp_path / "failover.yaml"
    file.write_text(profiles.config(name))
    file.chmod(0o640)
    site = load(file).sites[0]
    assert list(site.addresses) == ["www"]
    assert len(site.plans["web"].steps) == 4
    assert f"confirm_every {site.checks['website'].confirm_every * 1000:.0f}ms" in profiles.timers()[name]


def test_a_row_has_a_cell_for_each_column() -> None:
    sheet = Sheet("t", ("", "a"))
    sheet.add("x", "1")
    assert sheet.markdown() == "### t\n\n|  | a |\n|---|---:|\n| x | 1 |\n"
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        sheet.add("x")


def test_the_page_says_what_was_never_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILOVER_CACHE", str(tmp_path))
    text = docs.page()
    assert all(f"Not measured yet: `python -m tests.bench {name}`" in text for name in PARTS)


def test_the_page_keeps_what_was_measured_on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILOVER_CACHE", str(tmp_path))
    assert docs.page(docs.PAGE.read_text()) == docs.PAGE.read_text()


@pytest.mark.parametrize(
    ("good", "fault_at", "seconds"),
    [
        ([(8.0, 8.1), (9.0, 9.1), (14.0, 14.2)], 10.0, 4.2),  # from the fault on: what came before was no outage
        ([(9.9, 10.3), (14.0, 14.2)], 10.0, 3.9),  # what was under way at the fault came to a good end
    ],
)
def test_a_gap_is_from_the_fault_or_the_last_good_answer_to_the_first_of_the_new_one(
    good: list[tuple[float, float]], fault_at: float, seconds: float
) -> None:
    assert gap(good, fault_at, 14.2) == pytest.approx(seconds)


def test_a_restore_is_told_beside_its_tool_as_a_whole_and_without_what_only_ours_does() -> None:
    ours = [{"seconds": s, "filling_seconds": f, "checking_seconds": 2.0} for s, f in ((22.0, 19.0), (24.0, 21.0))]
    found = restore.summary(ours, [{"seconds": 20.0}, {"seconds": 20.0}])
    assert (found["ratio"], found["filling_ratio"], found["checking"]["median"]) == (1.15, 1.0, 2.0)
    data = {"gigabytes": 1.0, "engines": {"mariadb": {"bytes": 1e9, "dump_bytes": 1e8, "same": False, **found}}}
    (sheet,) = restore.sheets(data)
    assert "1.15×" in sheet.rows[0]
    assert any("not every row came back" in note for note in sheet.notes)


def test_the_wcms_failover_is_held_against_the_bare_start_of_its_own_service() -> None:
    stages = {"run opened": 1.0, "first good reply": 3.4}
    ours = [{"outage_seconds": 3.5, "detected_seconds": 1.0, "reply_seconds": 2.4, "stages": stages, "changes": []}]
    for start, verdict in ((1.95, "met"), (1.85, "**missed**")):
        bare = [{"answer_seconds": start, "systemctl_seconds": start - 0.1}]
        table, where = wcm_failover.sheets(wcm_failover.summary(bare, ours, []))
        assert [row[2] for row in table.rows] == ["", verdict, "", ""]
        assert where.rows == [["run opened", "1000 ms"], ["first good reply", "2400 ms"]]
    assert wcm_failover.sheets(wcm_failover.summary(bare, [], ["round 1: it broke"]))[0].notes == [
        "Lost: round 1: it broke"
    ]


def moved(whole: float, swap: float, old: str = "db", new: str = "db-backup") -> dict[str, Any]:
    return {
        "bytes": 10, "from": old, "to": new, "gap_seconds": whole + 1, "detected_seconds": 1.0,
        "reply_seconds": whole, "whole_seconds": whole, "swap_seconds": swap, "changes": [],
        "stages": {f"step 1: unit stopped on {old}": 1.0, f"step 2: wcm on {new} from a backup": 2.0},
    }  # fmt: skip


def test_a_databases_failover_is_judged_by_its_swap_by_the_bare_restart_and_by_its_size() -> None:
    bare = [{"systemctl_seconds": 2.0, "gap_seconds": 2.5}]
    sizes = {0.1: [moved(3.0, 0.09)], 1.0: [moved(3.1, 0.11), moved(3.3, 0.13, "db-backup", "db")]}
    data = database_failover.summary(bare, sizes, {"5": "the disk is full"}, [])
    assert data["largest_over_smallest"] == 1.07
    small, large = database_failover.sheets(data)[0].rows
    assert (small[0], small[1], small[2], small[4]) == ("0.1 GB", "90.0 ms (90.0–90.0)", "met", "met")
    assert (large[0], large[1], large[2], large[4]) == ("1 GB", "120.0 ms (110.0–130.0)", "**missed**", "**missed**")
    notes = database_failover.sheets(data)[0].notes
    assert any("1.07×" in note and note.endswith("met.") for note in notes)
    assert "5 GB wasn't measured: the disk is full." in notes


def test_rounds_to_and_fro_are_told_by_who_is_old_and_who_is_new() -> None:
    to = ("step 1: unit stopped on the old server", "step 2: wcm on the new server from a backup")
    assert tuple(database_failover.named(moved(1.0, 0.1))) == to
    assert tuple(database_failover.named(moved(1.0, 0.1, "db-backup", "db"))) == to


def test_no_room_on_the_disk_is_said_and_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "free_bytes", lambda: 20 * 10**9)
    assert filler.need(1.0, 6) is None
    assert "20 GB free, and 30 GB are needed" in str(filler.need(5.0, 6))


@pytest.mark.parametrize("engine", restore.ENGINES)
def test_the_whole_site_can_be_told_on_either_engine(engine: str, tmp_path: Path) -> None:
    file = tmp_path / "failover.yaml"
    file.write_text(restore.config(engine))
    file.chmod(0o640)
    database = load(file).sites[0].roles["database"].database
    assert database is not None
    assert database.engine == engine
