"""The fold over times: which lines tell how long a kind of work took, and which times aren't that work's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from failover.journal import Journal
from failover.journal.measured import KEPT, Measures
from failover.journal.site_view import SiteView
from tests.journal.conftest import Clock

STEPS = [
    {"kind": "released", "address": "www"},
    {"kind": "content_synced", "from": "wcm", "path": "/srv/site"},
    {"kind": "answers", "check": "website"},
]


class Story:
    """Writes a run's lines as the engine does, and keeps a fold of them."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self.journal = journal
        self.clock = clock
        self.run = 0
        self.changes = 0

    def write(self, event: str, /, **data: Any) -> int:
        self.clock.turn(1)
        return self.journal.append(event, site="shop", run=self.run or None, by="daemon", data=data).seq

    def open(self, kind: str = "recover", **more: Any) -> None:
        self.run, self.changes = self.journal.next_run(), 0
        opened = {"plan": "web", "kind": kind, "role": "web", "old": "web", "new": "web-backup", **more}
        self.write("run.opened", **{"plan_text": json.dumps({"steps": STEPS}), **opened})

    def step(self, number: int, seconds: float) -> int:
        self.write("step.started", step=number, title="")
        return self.write("step.done", step=number, seconds=seconds, notes=[])

    def change(self, verb: str, seconds: float, result: str = "ok", server: str = "web-backup", **args: Any) -> int:
        self.changes += 1
        said = {"step": 1, "server": server, "verb": verb, "args": args, "says": "", "within_seconds": 5}
        self.write("change.intended", change=self.changes, **said)
        return self.write("change.outcome", step=1, change=self.changes, result=result, seconds=seconds)

    def end(self, state: str = "done") -> None:
        self.write("run.ended", state=state, reason="", seconds=1.0, settled=True)

    @property
    def measures(self) -> Measures:
        view = SiteView("shop", {"web": "web"})
        view.catch_up(self.journal)
        return view.measures

    def seconds(self, what: str, subject: str, server: str | None = None) -> list[float]:
        return [one.seconds for one in self.measures.of(what, subject, server)]


@pytest.fixture
def story(journal: Journal, clock: Clock) -> Story:
    return Story(journal, clock)


def test_a_steps_time_is_kept_with_the_line_that_says_it(story: Story) -> None:
    story.open()
    line = story.step(3, 0.25)
    story.end()
    (measure,) = story.measures.of("step answers", "website", "web-backup")
    assert (measure.seconds, measure.event, measure.run) == (0.25, line, story.run)
    assert story.seconds("step answers", "website") == [0.25], "on any server"
    assert story.seconds("step answers", "website", "web") == []


def test_a_step_that_was_asked_twice_took_both_times(story: Story) -> None:
    story.open()
    story.step(2, 0.2)
    story.write("step.done", step=2, seconds=0.05, notes=[])
    story.end()
    assert story.seconds("step content_synced", "/srv/site") == [0.25]


def test_the_time_that_a_person_took_is_no_measure(story: Story) -> None:
    story.open()
    story.write("step.started", step=1, title="")
    story.write("run.waiting", step=1, question="Is it off?", word="off:web")
    story.write("step.done", step=1, seconds=600.0, notes=[])
    story.step(3, 0.1)
    story.end()
    assert story.seconds("step released", "www") == []
    assert story.seconds("step answers", "website") == [0.1]


def test_the_time_of_a_step_in_which_the_daemon_died_is_no_measure(story: Story) -> None:
    story.open()
    story.write("step.started", step=1, title="")
    story.write("run.resumed", why="failover was started again")
    story.write("step.done", step=1, seconds=0.001, notes=[])
    story.end()
    assert story.seconds("step released", "www") == []


@pytest.mark.parametrize("kind", ["keep", "ahead"])
def test_steps_of_runs_that_move_nothing_dont_count_but_their_changes_do(story: Story, kind: str) -> None:
    story.open(kind)
    story.change("content", 12.0, want="synced", path="/srv/site", bytes=4_000)
    story.step(2, 12.1)
    story.end()
    assert story.seconds("step content_synced", "/srv/site") == []
    (measure,) = story.measures.of("content synced", "/srv/site", "web-backup")
    assert (measure.seconds, measure.bytes) == (12.0, 4_000)


@pytest.mark.parametrize("result", ["failed", "refused", "unreachable", "unknown"])
def test_only_what_was_done_was_measured(story: Story, result: str) -> None:
    story.open()
    story.change("address", 5.0, result, want="held", ip="10.77.0.100")
    story.end()
    assert story.seconds("address held", "10.77.0.100") == []


def test_a_restore_is_kept_with_its_backup_and_size(story: Story) -> None:
    line = story.write(
        "database.restored", role="database", server="db-backup", set="wcm-db", backup="wcm-db-1",
        taken_at="2026-03-01T02:00:00+00:00", into="wcm__20260301t020000", bytes=5_000, rows=7, seconds=2.5, ahead=True,
    )  # fmt: skip
    (measure,) = story.measures.of("restore", "database", "db-backup")
    assert (measure.seconds, measure.bytes, measure.backup, measure.event) == (2.5, 5_000, "wcm-db-1", line)


def test_the_newest_times_are_kept_and_no_more(story: Story) -> None:
    for number in range(KEPT + 3):
        story.open()
        story.step(3, float(number))
        story.end()
    assert story.seconds("step answers", "website") == [float(number) for number in range(3, KEPT + 3)]


def test_a_run_without_a_plan_that_can_be_read_still_tells_of_its_changes(story: Story) -> None:
    story.open(plan_text="not json")
    story.change("address", 0.05, want="held", ip="10.77.0.100")
    story.step(3, 0.1)
    story.end()
    assert story.seconds("address held", "10.77.0.100") == [0.05]
    assert story.seconds("step answers", "website") == []
