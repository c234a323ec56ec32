"""A peer that talks nonsense, or never stops."""

from __future__ import annotations

import time

import pytest

from failover.errors import OutcomeUnknown, Unreachable
from tests.servers.sshd import TOKEN, Sshd, seconds


@pytest.mark.parametrize("verb", ["flood", "drip", "close_stdout"])
def test_a_hostile_answer_ends_within_the_deadline(sshd: Sshd, verb: str) -> None:
    with sshd.session() as web:
        web.ask("echo")
        took, _ = seconds(lambda: web.change(verb, {}, token=TOKEN, within_seconds=2), OutcomeUnknown)
        assert took < 8


def test_a_flood_without_an_end_of_line_is_cut_off(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo")
        _, error = seconds(lambda: web.change("flood", {}, token=TOKEN, within_seconds=20), OutcomeUnknown)
        assert "a line of more than 1048576 bytes" in str(error)


def test_a_flood_of_lines_is_cut_off(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo")
        _, error = seconds(lambda: web.change("flood", {"lines": True}, token=TOKEN, within_seconds=20), OutcomeUnknown)
        assert "lines that answer nothing" in str(error)


def test_a_flood_of_progress_is_cut_off(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo")
        _, error = seconds(
            lambda: web.change("progress", {"steps": 10**7}, token=TOKEN, within_seconds=20), OutcomeUnknown
        )
        assert "floods us" in str(error)


def test_some_garbage_between_answers_does_no_harm(sshd: Sshd) -> None:
    with sshd.session() as web:
        assert web.ask("garbage", lines=10) == {}
        assert web.ask("strangers") == {}
        assert web.ask("echo", n=3) == {"echo": {"n": 3}}
        assert len(sshd.lines("opened")) == 1


def test_a_megabyte_answer_arrives_and_a_larger_one_ends_the_session(sshd: Sshd) -> None:
    with sshd.session() as web:
        assert len(web.ask("blob", bytes=1_000_000)["blob"]) == 1_000_000
        with pytest.raises(OutcomeUnknown):
            web.change("blob", {"bytes": 1 << 20}, token=TOKEN, within_seconds=5)


def test_a_flood_on_stderr_is_drained_and_only_its_end_is_kept(sshd: Sshd) -> None:
    with sshd.session() as web:
        assert web.ask("complain", lines=400_000, within_seconds=20) == {}
        _, error = seconds(lambda: web.change("die", {}, token=TOKEN, within_seconds=5), OutcomeUnknown)
        assert "sudo: a password is required" in str(error)
        assert len(str(error)) < 10_000


@pytest.mark.parametrize(
    ("opening", "says"),
    [
        ("much noise", "lines that answer nothing"),
        ("mute", "no helper greeted within"),
        ("dead", "the helper ended before it greeted with exit code 1: sudo: a password is required"),
        ("newer", "speaks protocol 2, this failover speaks 1: run failover enroll web"),
    ],
)
def test_an_opening_that_is_no_hello(sshd: Sshd, opening: str, says: str) -> None:
    (sshd.folder / "opening").write_text(opening)
    with sshd.session(open_timeout="2s") as web:
        took, error = seconds(lambda: web.ask("echo", within_seconds=8), Unreachable)
        assert says in str(error)
        assert took < 7
    assert sshd.lines("received") == []


def test_banner_and_motd_before_the_hello_are_skipped(sshd: Sshd) -> None:
    (sshd.folder / "opening").write_text("noise")
    with sshd.session() as web:
        assert web.ask("echo") == {"echo": {}}


def test_a_helper_that_dies_after_each_hello_isnt_started_in_a_tight_loop(sshd: Sshd) -> None:
    (sshd.folder / "opening").write_text("brief")
    with sshd.session():
        time.sleep(4)
    assert len(sshd.lines("opened")) <= 5
