"""What the benchmarks make of what they saw: the arithmetic that a wrong figure would hide in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from failover.config.load import load
from tests.bench import docs, outage, profiles, results, story
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
