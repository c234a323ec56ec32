from datetime import datetime, timedelta
from typing import Any

import pytest

from failover.journal import Journal, SiteView, run_view
from failover.journal import queries as q
from failover.model import Event, RunKind, RunState, Token
from tests.journal.conftest import Clock

OPENED = {
    "plan": "web", "kind": "recover", "role": "web", "old": "web", "new": "web-backup", "mode": "auto",
    "why": "website is down", "token": [3, 7], "plan_text": "steps: []", "plan_sha256": "ab", "forced": False,
    "steps": ["www released by web", "www held by web-backup"],
}  # fmt: skip


def tell(journal: Journal, kind: str, run: int | None = 7, by: str = "daemon", /, **data: Any) -> Event:
    return journal.append(kind, site="shop", run=run, by=by, data=data)


def intended(journal: Journal, step: int, change: int, run: int = 7) -> None:
    args = {"ip": "10.77.0.100"}
    tell(
        journal, "change.intended", run, step=step, change=change, server="web", verb="address", args=args, says="take"
    )


def open_run(journal: Journal, run: int = 7, by: str = "daemon", **other: Any) -> None:
    tell(journal, "run.opened", run, by, **{**OPENED, **other})


def view_of(journal: Journal, run: int = 7) -> q.RunView:
    view = run_view(journal.events(run=run))
    assert view is not None
    return view


def test_a_run_is_told_from_opening_to_end(journal: Journal, clock: Clock) -> None:
    open_run(journal)
    clock.turn(1)
    tell(journal, "step.started", step=1, title="www released by web")
    intended(journal, 1, 1)
    view = view_of(journal)
    assert (view.plan, view.kind, view.old, view.new) == ("web", RunKind.RECOVER, "web", "web-backup")
    assert (view.token, view.automatic, view.state) == (Token(3, 7), True, RunState.RUNNING)
    assert view.step is not None
    assert (view.step.number, view.step.state, view.steps[1].state) == (1, "started", "pending")
    assert [change.number for change in view.unsettled] == [1]

    tell(journal, "change.outcome", step=1, change=1, result="unknown", kind=None, sentence="no answer", seconds=2.5)
    assert [change.sentence for change in view_of(journal).unsettled] == ["no answer"]
    intended(journal, 1, 2)
    tell(journal, "change.outcome", step=1, change=2, result="ok", answer={"held": False}, seconds=0.1)
    tell(journal, "step.done", step=1, seconds=3.0, notes=["read back twice"])
    tell(journal, "run.noted", text="the copy is 4 min old")
    clock.turn(5)
    tell(journal, "run.ended", state="done", reason="the site answers", seconds=6.25)
    view = view_of(journal)
    assert [(change.number, change.result) for change in view.changes] == [(1, "unknown"), (2, "ok")]
    assert view.changes[1].answer == {"held": False}
    assert (view.steps[0].state, view.steps[0].seconds, view.steps[0].notes) == ("done", 3.0, ("read back twice",))
    assert (view.state, view.reason, view.seconds, view.notes) == (
        RunState.DONE, "the site answers", 6.25, ("the copy is 4 min old",),
    )  # fmt: skip
    assert view.ended_at == clock.now


def test_a_run_waits_for_the_word_that_it_asked_for(journal: Journal, clock: Clock) -> None:
    open_run(journal)
    tell(journal, "step.started", step=1, title="www released by web")
    tell(journal, "run.waiting", step=1, question="is web off?", word="off:web")
    view = view_of(journal)
    assert view.state is RunState.WAITING
    assert view.question == q.Question(1, "is web off?", "off:web", clock.now)
    tell(journal, "run.word", 7, "lin", step=1, word="coffee", why="late")
    assert view_of(journal).state is RunState.WAITING
    tell(journal, "run.word", 7, "lin", step=1, word="off:web", why="I pulled the plug")
    view = view_of(journal)
    assert (view.state, view.question) == (RunState.RUNNING, None)
    assert [(word.word, word.by, word.why) for word in view.words][1] == ("off:web", "lin", "I pulled the plug")


def test_a_stopped_run_that_is_resumed_runs_again(journal: Journal, clock: Clock) -> None:
    open_run(journal)
    tell(journal, "step.started", step=1, title="www released by web")
    began = clock.now
    clock.turn(60)
    tell(journal, "run.ended", state="stopped", reason="disk full on web-backup")
    assert view_of(journal).seconds == 60
    tell(journal, "run.resumed", 7, "lin", why="made room")
    tell(journal, "step.started", step=1)
    view = view_of(journal)
    assert (view.state, view.ended_at, view.resumed) == (RunState.RUNNING, None, ("made room",))
    assert (view.steps[0].title, view.steps[0].started_at) == ("www released by web", began)


def test_runs_are_listed_and_the_newest_automatic_one_of_each_plan_is_known(journal: Journal, clock: Clock) -> None:
    view = SiteView("shop", {"web": "web"}, keep=2)
    for run, by, kind in [(1, "daemon", "recover"), (2, "lin", "recover"), (3, "daemon", "keep"), (4, "lin", "switch")]:
        open_run(journal, run, by, kind=kind)
        tell(journal, "run.ended", run, state="done", reason="")
    open_run(journal, 5, "lin", plan="wcm")
    view.catch_up(journal)
    assert [run.number for run in view.runs.unfinished] == [5]
    assert view.run is not None
    assert view.run.number == 5
    assert list(view.runs.by_number) == [3, 4, 5], "two ended runs are kept, and what hasn't ended"
    last = view.runs.last_automatic("web", clock.now)
    assert last is not None
    assert (last.number, last.state) == (1, RunState.DONE)
    assert view.runs.last_of_plan["web"].number == 4
    assert view.runs.last_automatic("wcm", clock.now) is None
    assert [run.number for run in q.runs(journal.events())] == [1, 2, 3, 4, 5]


def test_a_role_is_held_by_whom_it_moved_to_last(journal: Journal) -> None:
    homes = {"web": "web", "wcm": "wcm"}
    tell(journal, "server.parked", None, server="web-backup", address="www")
    assert q.holders(journal.events(), homes) == homes
    tell(journal, "role.moved", role="web", **{"from": "web", "to": "web-backup"})
    tell(journal, "server.parked", None, server="web", address="www")
    tell(journal, "server.parked", None, server="wcm", unit="wcm.service")
    view = SiteView("shop", homes)
    view.catch_up(journal)
    assert view.holders == q.holders(journal.events(), homes) == {"web": "web-backup", "wcm": "wcm"}
    assert view.parked == {"web": {"www"}, "wcm": {"wcm.service"}}


def test_maintenance_ends_by_itself_or_by_word(journal: Journal, clock: Clock) -> None:
    until = clock.now + timedelta(minutes=30)
    for about in ("web", "site"):
        tell(journal, "maintenance.begun", None, "lin", about=about, until=until.isoformat(), why="new kernel")
    tell(journal, "maintenance.ended", None, "lin", about="site", why="done early")
    view = SiteView("shop", {})
    view.catch_up(journal)
    (window,) = view.maintenance.now(until - timedelta(seconds=1))
    assert (window.about, window.until, window.why, window.by) == ("web", until, "new kernel", "lin")
    assert view.maintenance.now(until) == () == q.maintenance(journal.events(), until)
    assert [over.about for over in view.maintenance.over(until)] == ["web"]
    tell(journal, "maintenance.ended", None, about="web", why="its time was over")
    view.catch_up(journal)
    assert view.maintenance.over(until) == ()


def test_automation_is_off_when_it_is_off_for_the_site_or_for_everything(journal: Journal) -> None:
    view, other = SiteView("shop", {}), SiteView("other", {})

    def on() -> tuple[bool, bool]:
        view.catch_up(journal)
        other.catch_up(journal)
        return view.automation.on, other.automation.on

    assert on() == (True, True)
    tell(journal, "automation.switched", None, "lin", on=False, why="storm")
    assert on() == (False, True)
    assert (view.automation.by, view.automation.why) == ("lin", "storm")
    journal.append("automation.switched", by="wu", data={"on": False, "why": "all of it"})
    tell(journal, "automation.switched", None, "lin", on=True, why="over")
    assert on() == (False, False)
    assert q.automation(journal.events(), "shop").why == "all of it"
    journal.append("automation.switched", by="wu", data={"on": True, "why": "fine"})
    assert on() == (True, True)


def test_incidents_are_told_from_opened_to_closed(journal: Journal, clock: Clock) -> None:
    view = SiteView("shop", {}, keep=1)
    for number in (1, 2):
        tell(
            journal,
            "incident.opened",
            None,
            incident=number,
            about="website",
            state="opened",
            severity="page",
            reason="HTTP 500",
        )
        clock.turn(10)
        tell(
            journal,
            "incident.changed",
            None,
            incident=number,
            state="recovering",
            severity="warning",
            reason="a run has begun",
        )
        view.catch_up(journal)
        incident = view.incidents.about("website")
        assert incident is not None
        assert (incident.number, incident.state, incident.severity) == (number, "recovering", "warning")
        tell(journal, "incident.closed", None, "lin", incident=number, reason="a person has seen it")
    view.catch_up(journal)
    assert view.incidents.open == ()
    assert list(view.incidents.by_number) == [2]
    first, second = q.incidents(journal.events())
    assert not first.open
    assert second.opened_at - first.opened_at == timedelta(seconds=10)
    assert [(line.state, line.by) for line in first.lines] == [
        ("opened", "daemon"), ("recovering", "daemon"), ("closed", "lin"),
    ]  # fmt: skip
    assert second.reason == "a person has seen it"


@pytest.mark.parametrize(
    ("ends", "newest"),
    [
        ("", None),
        ("healed", None),
        ("done", 1),
        ("done healed", 1),
        ("healed undone", 2),
        ("healed healed", None),
        ("healed healed healed", 3),
        ("done healed healed healed healed", 5),
        ("healed healed done healed", 3),
        ("running", 1),
        ("healed running", 2),
        ("healed healed healed pause", None),
        ("healed healed pause healed", None),
        ("healed healed healed done pause", 4),
    ],
)
def test_a_run_that_found_the_failure_gone_doesnt_count_unless_it_is_the_third_in_a_row(
    journal: Journal, clock: Clock, ends: str, newest: int | None
) -> None:
    view = SiteView("shop", {"web": "web"})
    run = 0
    for end in ends.split():
        clock.turn(60)
        if end == "pause":
            clock.turn(3600)
            continue
        run += 1
        open_run(journal, run, "daemon")
        if end != "running":
            state, told = ("undone", {"healed": True}) if end == "healed" else (end, {})
            tell(journal, "run.ended", run, state=state, reason="", **told)
    view.catch_up(journal)
    last = view.runs.last_automatic("web", clock.now - timedelta(seconds=3600))
    assert (last.number if last else None) == newest


def test_acknowledgements_and_copies_are_known_by_plan_and_place(journal: Journal, clock: Clock) -> None:
    tell(journal, "plan.acknowledged", 7, "lin", plan="web", why="seen")
    verified = clock.now - timedelta(minutes=4)
    copied = {"role": "web", "server": "web-backup", "source": "wcm", "digest": "d1", "files": 3, "bytes": 9}
    tell(journal, "content.copied", **copied, verified_at=verified.isoformat())
    view = SiteView("shop", {})
    view.catch_up(journal)
    assert q.acknowledged(journal.events()) == {"web": clock.now}
    assert view.acknowledged["web"].by == "lin"
    assert view.copies["web", "web-backup"].verified_at == verified


def test_catching_up_step_by_step_is_the_same_as_all_at_once(journal: Journal, clock: Clock) -> None:
    bit_by_bit = SiteView("shop", {"web": "web"})
    assert bit_by_bit.catch_up(journal) == 0
    open_run(journal)
    bit_by_bit.catch_up(journal)
    journal.append("run.noted", site="other", run=7, by="daemon", data={"text": "not ours"})
    tell(journal, "step.started", step=1)
    tell(journal, "run.noted", text="ours")
    assert bit_by_bit.catch_up(journal) == 2
    assert bit_by_bit.catch_up(journal) == 0
    at_once = SiteView("shop", {"web": "web"})
    at_once.catch_up(journal)
    assert at_once.runs.by_number == bit_by_bit.runs.by_number
    assert at_once.runs.by_number[7].notes == ("ours",)
    assert isinstance(at_once.runs.by_number[7].opened_at, datetime)


def test_a_view_that_is_fed_by_a_subscription_leaves_other_sites_and_the_past_out(journal: Journal) -> None:
    view = SiteView("shop", {"web": "web"})
    first = tell(journal, "role.moved", role="web", **{"from": "web", "to": "web-backup"})
    second = tell(journal, "role.moved", role="web", **{"from": "web-backup", "to": "web"})
    stranger = journal.append("role.moved", site="other", by="daemon", data={"role": "web", "from": "web", "to": "x"})
    for event in (first, second, stranger, first):
        view.apply(event)
    assert view.holders == {"web": "web"}
