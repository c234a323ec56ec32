"""The book of incidents: one for one trouble, written by the table, told at a restart as it was left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from failover.decide.incident import Event, State
from failover.journal.journal import Journal
from failover.journal.queries import incidents
from failover.monitor.incidents import Book
from failover.monitor.scribe import Scribe
from failover.monitor.tell import message_of
from failover.notify.base import Severity

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Rewrite = Callable[[], tuple[Book, list[tuple[str, dict[str, Any]]]]]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.db", ballast_bytes=0) as journal:
        yield journal


def written(journal: Journal, act: Callable[[Book], object]) -> Book:
    """A book that knows what the journal holds, after it did something."""
    scribe = Scribe(journal, "shop", lambda *_: None)
    book = Book(journal, scribe, [one for one in incidents(journal.events()) if one.open], 300)
    act(book)
    scribe.close()
    return book


def lines(journal: Journal) -> list[tuple[str, str, str]]:
    return [(event.kind, event.data["state"], event.data["severity"]) for event in journal.events()]


def test_one_trouble_is_one_incident_from_opened_to_closed(journal: Journal) -> None:
    def life(book: Book) -> None:
        book.failed("website", "page", "refused", NOW)
        book.failed("website", "page", "refused again", NOW)
        book.happened("website", Event.RUN_STARTED, "", NOW)
        book.happened("website", Event.HEALED, "", NOW)
        book.happened("website", Event.RUN_DONE, "", NOW)
        book.happened("website", Event.ACKNOWLEDGED, "seen", NOW, by="lin (uid 1000)")

    written(journal, life)
    assert lines(journal) == [
        ("incident.opened", "opened", "page"),
        ("incident.changed", "recovering", "page"),
        ("incident.changed", "recovered", "page"),
        ("incident.closed", "closed", "page"),
    ]
    assert {event.data["incident"] for event in journal.events()} == {1}
    assert journal.events()[-1].by == "lin (uid 1000)"


def test_after_a_restart_it_goes_on_with_the_same_incident(journal: Journal) -> None:
    written(journal, lambda book: book.failed("website", "page", "refused", NOW))
    book = written(journal, lambda book: book.happened("website", Event.HEALED, "", NOW))
    assert book.state("website") is State.QUIET
    assert {event.data["incident"] for event in journal.events()} == {1}


def test_what_keeps_quiet_closes_by_itself_and_what_fails_again_opens(journal: Journal) -> None:
    def life(book: Book) -> None:
        book.failed("website", "page", "refused", NOW)
        book.happened("website", Event.HEALED, "", NOW)
        book.settle(NOW + timedelta(seconds=299))
        book.failed("website", "warning", "refused", NOW + timedelta(seconds=299))
        book.happened("website", Event.HEALED, "", NOW + timedelta(seconds=300))
        book.settle(NOW + timedelta(seconds=600))

    written(journal, life)
    assert [(state, severity) for _, state, severity in lines(journal)] == [
        ("opened", "page"), ("quiet", "page"), ("opened", "warning"), ("quiet", "warning"), ("closed", "warning"),
    ]  # fmt: skip


def test_what_gets_worse_is_told_again(journal: Journal) -> None:
    def life(book: Book) -> None:
        book.failed("plan web", "warning", "the copy is old", NOW)
        book.failed("plan web", "page", "website is down and the copy is old", NOW)
        book.failed("plan web", "page", "website is down and the copy is old", NOW)

    written(journal, life)
    assert lines(journal) == [("incident.opened", "opened", "warning"), ("incident.changed", "opened", "page")]
    told = [message_of(event, None) for event in journal.events()]
    assert [one.severity for one in told if one] == [Severity.WARNING, Severity.PAGE]


def test_nothing_is_written_about_what_is_not_open(journal: Journal) -> None:
    def life(book: Book) -> None:
        for event in Event:
            book.happened("website", event, "", NOW)

    written(journal, life)
    assert journal.events() == []


def test_a_journal_that_takes_nothing_is_said(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", ballast_bytes=0)
    journal.close()
    said: list[tuple[str, Any, str]] = []
    scribe = Scribe(journal, "shop", lambda kind, data, error: said.append((kind, data, error)))
    book = Book(journal, scribe, [], 300)
    book.failed("website", "page", "refused", NOW)
    scribe.close()
    ((kind, data, error),) = said
    assert (kind, data["about"], bool(error)) == ("incident.opened", "website", True)
    assert book.state("website") is State.OPENED
