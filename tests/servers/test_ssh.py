"""A session over a real sshd: questions, changes, and many at once."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from failover.errors import ChangeFailed, OutcomeUnknown, Refused, Unreachable
from failover.servers.base import Server
from tests.servers.sshd import TOKEN, Sshd, seconds
from tests.waiting import wait_until


def test_a_question_is_answered_and_the_session_is_warm_then(sshd: Sshd) -> None:
    with sshd.session() as web:
        assert isinstance(web, Server)
        assert web.ask("echo", text="厦门") == {"echo": {"text": "厦门"}}
        assert web.warm()
        assert web.hello is not None
        assert web.hello.version == "toy"
    assert not web.warm()


def test_the_session_opens_by_itself(sshd: Sshd) -> None:
    with sshd.session() as web:
        wait_until(web.warm)
        assert sshd.lines("received") == []


def test_a_change_carries_its_token_and_a_deadline_on_the_helpers_own_clock(sshd: Sshd) -> None:
    with sshd.session() as web:
        seen = web.change("request", {}, token=TOKEN, within_seconds=20)
    request = seen["request"]
    assert (request["epoch"], request["run"], request["boot_id"]) == (3, 7, "b007")
    assert 19 < request["deadline_seconds"] < 20
    ahead = request["not_after"] - seen["boottime"]
    assert 18 < ahead <= request["deadline_seconds"], "early by the time that the hello travelled, never late"


def test_the_helpers_clock_is_learnt_anew_from_its_answers(sshd: Sshd) -> None:
    """Else a session that stays warm for weeks would be off by what the two clocks' rates differ."""

    def ahead() -> float:
        seen = web.change("request", {}, token=TOKEN, within_seconds=5)
        return float(seen["request"]["not_after"] - seen["boottime"])

    with sshd.session() as web:
        assert ahead() < 5
        web.ask("clock", ahead=100)
        assert 100 < ahead() < 105, "its clock went faster than ours"
        for _ in range(20):
            web.ask("facts")
        assert ahead() < 5, "an old bound is forgotten"
        web.ask("clock", ahead=100, boot_id="another boot")
        assert ahead() < 5


def test_refusals_failures_and_riddles_are_told_apart(sshd: Sshd) -> None:
    with sshd.session() as web:
        with pytest.raises(
            Refused, match=r"web: refuse was refused: the unit 'x' is not in the policy \(not-in-policy\)"
        ):
            web.ask("refuse")
        with pytest.raises(Refused) as refused:
            web.change("refuse", {}, token=TOKEN, within_seconds=5)
        assert refused.value.kind == "not-in-policy"
        with pytest.raises(ChangeFailed, match="exit code 23") as failed:
            web.change("fail", {}, token=TOKEN, within_seconds=5)
        assert failed.value.result == {"files": 7}
        with pytest.raises(OutcomeUnknown, match="can't be understood"):
            web.change("mumble", {}, token=TOKEN, within_seconds=5)


def test_progress_is_told_in_the_callers_thread_and_in_order(sshd: Sshd) -> None:
    seen: list[tuple[int, int]] = []
    with sshd.session() as web:
        web.change(
            "progress", {"steps": 20}, token=TOKEN, within_seconds=5,
            progress=lambda told: seen.append((threading.get_ident(), told["files"])),
        )  # fmt: skip
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    assert [files for _, files in seen] == sorted(files for _, files in seen)
    assert seen[0][1] == 0


def test_fifty_questions_at_once_each_get_their_own_answer(sshd: Sshd) -> None:
    with sshd.session() as web, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: web.ask("echo", n=n, pad="x" * n * 100, within_seconds=20), range(200)))
    assert [answer["echo"]["n"] for answer in answers] == list(range(200))
    assert len(sshd.lines("opened")) == 1, "one session carries them all"


def test_more_questions_than_a_helper_takes_wait_for_their_turn_and_no_longer_than_their_time(sshd: Sshd) -> None:
    with sshd.session() as web, ThreadPoolExecutor(30) as pool:
        web.ask("echo")
        slow = [pool.submit(web.ask, "sleep", seconds=1.0, within_seconds=5) for _ in range(14)]
        time.sleep(0.3)
        running = len([line for line in sshd.lines("received") if json.loads(line)["verb"] == "sleep"])
        _, error = seconds(lambda: web.ask("echo", within_seconds=0.3), Unreachable)
        assert web.change("set", {"value": 1}, token=TOKEN, within_seconds=1) == {"value": 1}, "changes don't wait"
        assert [call.result() for call in slow] == [{"slept": 1.0}] * 14
    assert running == 12
    assert "12 others wait for an answer already" in str(error)


def test_a_slow_question_doesnt_hold_up_a_quick_one(sshd: Sshd) -> None:
    with sshd.session() as web, ThreadPoolExecutor(1) as pool:
        web.ask("echo")
        slow = pool.submit(web.ask, "sleep", seconds=3.0)
        began = time.monotonic()
        web.ask("echo")
        assert time.monotonic() - began < 2
        assert slow.result() == {"slept": 3.0}
