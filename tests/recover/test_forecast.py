"""Forecasts: every number comes from a time that was measured, an answer, the config, or is called assumed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.journal.measured import Key, Measure, Measures
from failover.journal.site_view import SiteView
from failover.model import RunKind
from failover.recover.forecast import (
    DETECTION,
    SLOWEST_BYTES_PER_SECOND,
    TOGETHER,
    Forecast,
    Part,
    beside,
    detection,
    event_data,
    forecast,
)
from failover.recover.plan import Plan
from failover.recover.readiness import works
from failover.recover.work import ASSUMED_SECONDS, Basis, Like, Told, Waits, Work
from tests.recover.bureau import PLAN, WWW, Bureau
from tests.recover.database_bureau import DatabaseBureau
from tests.recover.toy_world import TRIP_SECONDS

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def measures_of(bureau: Bureau) -> Measures:
    view = SiteView("shop", {"web": "web", "database": "db"})
    view.catch_up(bureau.journal)
    return view.measures


def foretell(bureau: Bureau, plan: str = "web", before: Part | None = None) -> Forecast:
    scene = bureau.scene(plan, RunKind.RECOVER)
    scene = replace(scene, clock=bureau.world.monotonic)
    return forecast(works(bureau.plans[plan], scene), before, measures_of(bureau), bureau.world.now())


def by_name(found: Forecast) -> dict[str, Part]:
    return {part.name: part for part in found.parts}


def said(part: Part) -> list[str]:
    return [source.kind for source in part.sources]


def seconds_of(bureau: Bureau, event: int) -> float:
    """What the journal's line itself says."""
    (line,) = bureau.journal.events(after=event - 1, limit=1)
    assert line.seq == event
    return float(line.data["seconds"])


# the web plan ---------------------------------------------------------------------------------------------------------


def test_what_was_never_done_is_assumed_and_says_so(bureau: Bureau) -> None:
    parts = by_name(foretell(bureau))
    held = parts["www held by web-backup"]
    assert (held.seconds, said(held)) == (ASSUMED_SECONDS["address_held"], ["assumed"])
    assert parts["website answers from web-backup"].worst_seconds == 10.0, "the step's own `within`"


def test_after_a_run_every_step_takes_what_its_line_in_the_journal_says(bureau: Bureau) -> None:
    bureau.break_web()
    run = bureau.recover()
    found = foretell(bureau)
    asked = found.parts[1]
    assert [part.step for part in found.parts] == [1, 2, 3, 4]
    for part in (found.parts[0], *found.parts[2:]):
        (source,) = part.sources
        assert (source.kind, source.run) == ("journal", run.number)
        assert source.event is not None
        assert (
            part.seconds == part.worst_seconds == seconds_of(bureau, source.event) == run.steps[part.step - 1].seconds
        )
    assert said(asked) == ["asked"]
    assert found.rto_seconds == pytest.approx(asked.seconds + sum(run.steps[n].seconds or 0 for n in (0, 2, 3)))


def test_the_comparison_of_content_takes_as_long_as_the_question_just_took(bureau: Bureau) -> None:
    compared = by_name(foretell(bureau))["/srv/site on web-backup compared with wcm"]
    assert compared.seconds == pytest.approx(TRIP_SECONDS)
    assert (compared.ahead, compared.worst_seconds) == (True, bureau.content.patience)


def test_content_that_changed_is_copied_in_what_the_last_copies_took(bureau: Bureau) -> None:
    for digest in ("d2", "d3", "d4"):
        bureau.publish(digest, bytes=1000)
        bureau.switch()
    times = measures_of(bureau).of("content synced", "/srv/site", "web")
    bureau.publish("d5", bytes=10**9)
    assert bureau.stored == "web-backup"
    part = by_name(foretell(bureau))["/srv/site on web as wcm has it"]
    assert part.ahead is False
    assert [source.event for source in part.sources] == [one.event for one in times]
    assert part.seconds == statistics.median(seconds_of(bureau, one.event) for one in times)
    assert part.worst_seconds == max(seconds_of(bureau, one.event) for one in times)


def test_a_first_copy_takes_its_bytes_times_the_last_seconds_per_byte(bureau: Bureau) -> None:
    bureau.publish("d2", bytes=1000)
    bureau.switch()
    (time,) = measures_of(bureau).of("content synced", "/srv/site")
    bureau.publish("d3", bytes=7000)
    bureau.world.hosts["web"].content.clear()
    part = by_name(foretell(bureau))["/srv/site on web as wcm has it"]
    assert part.seconds == pytest.approx(7 * time.seconds)
    assert [source.event for source in part.sources] == [time.event]


def test_a_first_copy_of_all_is_assumed_by_its_size(bureau: Bureau) -> None:
    bureau.publish("d3", bytes=40_000_000)
    bureau.world.hosts["web-backup"].content.clear()
    part = by_name(foretell(bureau))["/srv/site on web-backup as wcm has it"]
    assert part.seconds == ASSUMED_SECONDS["content_synced"] + 40_000_000 / SLOWEST_BYTES_PER_SECOND
    assert said(part) == ["assumed"]


def test_while_the_source_lives_nothing_is_lost_and_at_worst_what_the_copy_lacks(bureau: Bureau) -> None:
    bureau.world.pass_time(1200)
    assert foretell(bureau).rpo_seconds() == 0
    assert foretell(bureau).rpo_worst_seconds() == 0, "the copy is what the source has"
    bureau.publish("d2")
    found = foretell(bureau)
    (basis,) = found.bases
    written = bureau.world.hosts["web-backup"].content["/srv/site"]["verified_at"]
    assert (found.rpo_seconds(), basis.worst_as_of.isoformat()) == (0, written)
    assert found.rpo_worst_seconds() == (found.at - basis.worst_as_of).total_seconds() >= 1200


def test_without_its_source_the_age_of_the_verified_copy_is_lost(bureau: Bureau) -> None:
    bureau.world.pass_time(1200)
    bureau.world.power_off("wcm")
    found = foretell(bureau)
    (basis,) = found.bases
    assert basis.as_of is not None
    assert basis.as_of.isoformat() == bureau.world.hosts["web-backup"].content["/srv/site"]["verified_at"]
    assert found.rpo_seconds() == (found.at - basis.as_of).total_seconds()
    assert "wcm found silent" in by_name(found)


def test_an_old_server_that_is_silent_takes_a_persons_word_and_that_is_said(bureau: Bureau) -> None:
    assert foretell(bureau).waits == ("where web is silent, the address waits for a person's word (`off:web`)",)


def test_with_a_fence_the_worst_case_is_the_fence(bureau: Bureau) -> None:
    bureau.servers["fence:web"] = bureau.servers["web"]
    found = foretell(bureau)
    assert (found.waits, by_name(found)["www released by web"].worst_seconds) == ((), 30.0)


def test_a_plan_that_people_start_says_so(bureau: Bureau) -> None:
    bureau.plans["web"] = Plan.model_validate({**PLAN, "mode": "propose"})
    assert foretell(bureau).waits[0] == "a person starts it (mode propose)"


def test_a_server_that_cant_be_asked_takes_as_long_as_before(bureau: Bureau) -> None:
    bureau.world.power_off("web-backup")
    found = foretell(bureau)
    assert [part.step for part in found.parts] == [1, 2, 3, 4]


# the database plan ----------------------------------------------------------------------------------------------------


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[DatabaseBureau]:
    bureau = DatabaseBureau(tmp_path)
    yield bureau
    bureau.kill_daemon()


def test_with_the_newest_backup_restored_ahead_only_the_swap_is_left(databases: DatabaseBureau) -> None:
    cold = by_name(foretell(databases, "database"))
    assert (cold["wcm restored on db-backup"].ahead, said(cold["wcm restored on db-backup"])) == (False, ["assumed"])
    databases.ahead()
    ready = by_name(foretell(databases, "database"))
    assert "wcm restored on db-backup" not in ready
    assert ready["wcm put in place on db-backup"].ahead is True


def test_a_newer_backup_takes_its_bytes_times_the_last_restores_seconds_per_byte(databases: DatabaseBureau) -> None:
    databases.ahead()
    (line,) = databases.journal.events(kinds=["database.restored"])
    first = next(iter(databases.world.hosts["db-backup"].backups["wcm-db"].values())).entry["bytes"]
    databases.write_some("db", 40)
    newer = databases.backup(at_hours=-1).entry["bytes"]
    part = by_name(foretell(databases, "database"))["wcm restored on db-backup"]
    assert (part.ahead, [source.event for source in part.sources]) == (False, [line.seq])
    assert part.seconds == pytest.approx(line.data["seconds"] * newer / first)
    assert newer > 2 * first


def test_the_swap_takes_what_the_last_swap_took(databases: DatabaseBureau) -> None:
    databases.fail()
    run = databases.recover()
    swaps = [change for change in run.changes if change.args.get("want") == "swapped"]
    part = by_name(foretell(databases, "database"))["wcm put in place on db"]
    (source,) = part.sources
    assert (source.kind, source.run) == ("journal", run.number)
    assert part.seconds == seconds_of(databases, source.event or 0) == swaps[0].seconds


def test_what_is_lost_is_the_age_of_the_backup_in_the_catalogue(databases: DatabaseBureau) -> None:
    found = foretell(databases, "database")
    (basis,) = found.bases
    backup = max(databases.world.hosts["db-backup"].backups["wcm-db"].values(), key=lambda one: one.taken_at)
    assert (basis.what, basis.as_of, basis.source) == (
        f"backup {backup.id}", backup.taken_at.replace(microsecond=0), "catalogue of db-backup",
    )  # fmt: skip
    assert found.rpo_seconds() == (found.at - backup.taken_at).total_seconds()


def test_a_loss_above_the_bound_waits_for_a_yes(databases: DatabaseBureau) -> None:
    yes = "a person's yes to what is lost (`loss:database`)"
    assert yes not in foretell(databases, "database").waits
    databases.world.pass_time(2 * 3600)
    assert yes in foretell(databases, "database").waits


# the arithmetic -------------------------------------------------------------------------------------------------------


def test_detection_is_made_of_the_checks_schedule_and_thresholds() -> None:
    part = detection("website", every=0.5, confirm_every=0.1, timeout=0.7, fall=3, usual_seconds=0.01)
    assert part.seconds == pytest.approx(0.25 + 3 * 0.01 + 2 * 0.1)
    assert part.worst_seconds == pytest.approx(0.5 + 3 * 0.7 + 2 * 0.1)
    assert said(part) == ["config"]


def measures(*times: float, bytes: int | None = None) -> Measures:  # noqa: A002 - the word for it
    found = Measures()
    for number, seconds in enumerate(times, start=1):
        found._add(Key("copy", "x", "web"), Measure(seconds, NOW, number, None, bytes))
    return found


def test_the_usual_time_is_the_median_and_the_worst_the_longest() -> None:
    (part,) = forecast([(1, [Work("copy", (Like("copy", "x"),))])], None, measures(1.0, 30.0, 2.0), NOW).parts
    assert (part.seconds, part.worst_seconds) == (2.0, 30.0)
    assert [source.event for source in part.sources] == [1, 2, 3]


def test_times_of_the_same_server_count_before_those_of_others() -> None:
    found = measures(1.0)
    found._add(Key("copy", "x", "web-backup"), Measure(9.0, NOW, 2, None))
    like = (Like("copy", "x", "web-backup"), Like("copy", "x"))
    (part,) = forecast([(1, [Work("copy", like)])], None, found, NOW).parts
    assert (part.seconds, [source.event for source in part.sources]) == (9.0, [2])


SPANS = st.floats(min_value=0.0, max_value=1e5)
LIKE = (Like("copy", "x"),)


@given(st.lists(SPANS, max_size=12), SPANS, st.none() | SPANS, st.none() | st.integers(0, 10**12))
def test_the_worst_is_never_better_than_usual_and_nothing_takes_less_than_no_time(
    times: list[float], assumed: float, most: float | None, size: int | None
) -> None:
    work = Work("copy", LIKE, assumed, most, bytes=size)
    found = forecast([(1, [work])], None, measures(*times, bytes=1000), NOW)
    assert 0 <= found.rto_seconds <= found.rto_worst_seconds
    assert found.parts[0].sources


@given(st.lists(SPANS, min_size=1, max_size=10), st.integers(0, 10**9), st.integers(0, 10**9))
def test_more_bytes_never_take_less(times: list[float], one: int, more: int) -> None:
    small, large = sorted((one, more))
    known = measures(*times, bytes=1000)

    def seconds(size: int) -> float:
        return forecast([(1, [Work("copy", LIKE, bytes=size)])], None, known, NOW).rto_seconds

    assert seconds(small) <= seconds(large)


@given(st.lists(st.tuples(st.integers(1, 5), SPANS), max_size=8))
def test_the_whole_is_the_sum_of_its_parts(given: list[tuple[int, float]]) -> None:
    told: list[tuple[int, list[Told]]] = [(step, [Work("w", (), seconds)]) for step, seconds in given]
    found = forecast(told, None, Measures(), NOW)
    assert found.rto_seconds == pytest.approx(sum(seconds for _, seconds in given))


@given(st.lists(st.timedeltas(timedelta(0), timedelta(days=900)), min_size=1, max_size=5), SPANS)
def test_the_oldest_data_tells_what_is_lost_and_it_grows_with_time(ages: list[timedelta], later: float) -> None:
    bases = [Basis(f"data {number}", NOW - age, NOW - age, "") for number, age in enumerate(ages)]
    found = forecast([(1, bases)], None, Measures(), NOW)
    assert found.rpo_seconds() == max(ages).total_seconds()
    assert found.rpo_seconds(NOW + timedelta(seconds=later)) == pytest.approx(max(ages).total_seconds() + later)


def test_a_clock_that_was_set_back_makes_no_negative_loss() -> None:
    future = NOW + timedelta(hours=1)
    assert forecast([(1, [Basis("data", future, future, "")])], None, Measures(), NOW).rpo_seconds() == 0


def test_small_changes_of_times_are_no_news_and_large_ones_are() -> None:
    def with_seconds(seconds: float, **more: object) -> Forecast:
        return Forecast(NOW, (Part("swap", 1, seconds, seconds, ()),), **more)  # type: ignore[arg-type]

    assert with_seconds(10.0).same_as(with_seconds(11.0))
    assert with_seconds(0.002).same_as(with_seconds(0.05))
    assert not with_seconds(14.0).same_as(with_seconds(10.0))
    assert not with_seconds(10.0, waits=("a person",)).same_as(with_seconds(10.0))
    newer = (Basis("backup 2", NOW, NOW, ""),)
    assert not with_seconds(10.0, bases=newer).same_as(with_seconds(10.0))


def test_what_was_foretold_stands_beside_what_was_measured() -> None:
    parts = (
        Part("detection by website", 0, 0.4, 3.0, ()),
        Part("www released by web", 1, 0.1, 1.0, ()),
        Part("compared", 2, 0.01, 1.0, ()),
        Part("copied", 2, 2.0, 9.0, ()),
        Part("never reached", 3, 1.0, 1.0, ()),
    )
    data = event_data("web", Forecast(NOW, parts), stands="ready", problems=[], since=NOW)
    titles = ["www released by web", "content", "answers"]
    rows = beside(data, titles, {0: 0.3, 1: 0.05, 2: 2.5})
    assert [(row.name, row.predicted_seconds, row.measured_seconds) for row in rows] == [
        (DETECTION, 0.4, 0.3),
        ("1. www released by web", 0.1, 0.05),
        ("2. content", pytest.approx(2.01), 2.5),
        ("3. answers", 1.0, None),
        (TOGETHER, pytest.approx(2.51), pytest.approx(2.85)),
    ]


def test_a_person_in_between_is_in_no_number() -> None:
    found = forecast([(1, [Waits("a yes"), Waits("a yes")])], None, Measures(), NOW)
    assert (found.rto_seconds, found.waits) == (0, ("a yes",))


def test_the_address_of_the_service_is_known_from_keeping_it_too(bureau: Bureau) -> None:
    """A release that a builtin plan made tells the time of the next one, before any recovery ever ran."""
    found = Measures()
    found._add(Key("address released", WWW, "web"), Measure(0.042, NOW, 7, 3))
    scene = replace(bureau.scene("web", RunKind.RECOVER), clock=bureau.world.monotonic)
    part = forecast(works(bureau.plans["web"], scene), None, found, NOW).parts[0]
    assert (part.seconds, part.sources[0].event) == (0.042, 7)
