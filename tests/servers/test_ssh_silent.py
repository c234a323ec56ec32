"""A peer that is silent, gone, or comes back: nobody is held past the deadline, and nothing is done twice."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from failover.errors import OutcomeUnknown, Unreachable
from failover.servers.ssh import SshServer, SshSettings
from tests.servers.sshd import TOKEN, Sshd, seconds, wait_for_answer
from tests.waiting import wait_until


def test_no_answer_by_the_deadline_is_unknown_and_the_session_is_kept(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo")
        took, error = seconds(lambda: web.ask("silence", within_seconds=0.5), OutcomeUnknown)
        assert str(error) == "web: no answer to silence within 500 ms"
        assert 0.4 < took < 4
        assert web.ask("echo", n=1) == {"echo": {"n": 1}}
        assert len(sshd.lines("opened")) == 1


def test_a_late_answer_is_dropped(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo", n=1)  # the half second below is for the helper, not for opening the session
        seconds(lambda: web.change("set", {"value": 1, "seconds": 1}, token=TOKEN, within_seconds=0.5), OutcomeUnknown)
        wait_until(lambda: sshd.lines("done") == ["1"])
        assert web.ask("echo", n=2) == {"echo": {"n": 2}}
        assert web.ask("facts")["value"] == 1, "it was done all the same, so look before the next move"


@pytest.mark.parametrize("change", [False, True])
def test_a_server_that_freezes_in_mid_call_holds_nobody_past_the_deadline(sshd: Sshd, change: bool) -> None:
    with sshd.session() as web:
        web.ask("echo")
        threading.Timer(0.3, sshd.freeze).start()
        call = (
            (lambda: web.change("sleep", {"seconds": 9}, token=TOKEN, within_seconds=2.0))
            if change
            else (lambda: web.ask("sleep", seconds=9, within_seconds=2.0))
        )
        took, _ = seconds(call, OutcomeUnknown)
        assert 1.9 < took < 6


def test_a_frozen_server_that_takes_no_more_data_holds_nobody_either(sshd: Sshd) -> None:
    with sshd.session(ping_timeout="30s") as web:
        web.ask("echo")
        sshd.freeze()
        began = time.monotonic()
        with ThreadPoolExecutor(24) as pool:
            pad = "x" * 900_000
            calls = [pool.submit(web.ask, "echo", pad=pad, within_seconds=2.0) for _ in range(24)]
            errors = [call.exception() for call in calls]
        assert time.monotonic() - began < 10
        kinds = {type(error) for error in errors}
        assert kinds == {OutcomeUnknown, Unreachable}, "what was stuck in line before it was never sent"
        assert any("the link took no data" in str(error) for error in errors)


def test_a_frozen_session_is_noticed_given_up_and_opened_again(sshd: Sshd) -> None:
    with sshd.session(ping_every="500ms", ping_timeout="500ms") as web:
        web.ask("echo")
        sshd.freeze()
        wait_until(lambda: not web.warm(), within=3)
        sshd.thaw()
        wait_until(web.warm, within=15)
        assert web.ask("echo") == {"echo": {}}


def test_a_frozen_sshd_is_unreachable_and_nothing_was_sent(sshd: Sshd) -> None:
    sshd.freeze()
    with sshd.session(open_timeout="1s") as web:
        took, error = seconds(lambda: web.ask("echo", within_seconds=5), Unreachable)
        assert str(error) == "web: it accepts connections, but its SSH greeting didn't come within 1 s"
        assert took < 7
    assert sshd.lines("received") == []


def test_a_killed_server_is_told_at_once_and_found_again(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo")
        threading.Timer(0.3, sshd.stop).start()
        took, error = seconds(
            lambda: web.change("sleep", {"seconds": 9}, token=TOKEN, within_seconds=8), OutcomeUnknown
        )
        assert "the session broke before sleep was answered" in str(error)
        assert took < 6
        wait_until(lambda: sshd.process is None)
        took, error = seconds(lambda: web.ask("echo", within_seconds=5), Unreachable)
        assert "Connection refused" in str(error)
        assert took < 4
        sshd.start()
        assert wait_for_answer(web)


def test_a_question_whose_session_just_died_is_asked_again_over_a_new_one(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo")
        sshd.stop()
        sshd.start()
        assert web.ask("echo", n=1, within_seconds=5) == {"echo": {"n": 1}}


def test_a_change_is_never_sent_twice(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo")
        seconds(lambda: web.change("die", {}, token=TOKEN, within_seconds=5), OutcomeUnknown)
        wait_until(web.warm)
    assert len([line for line in sshd.lines("received") if json.loads(line)["verb"] == "die"]) == 1


def test_nothing_listens(sshd: Sshd) -> None:
    sshd.stop()
    with sshd.session() as web:
        _, error = seconds(lambda: web.ask("echo"), Unreachable)
        assert str(error) == f"web: connecting to 127.0.0.1 port {sshd.port}: Connection refused"
        assert not web.warm()


def test_a_dead_port_that_accepts_and_says_nothing(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = SshSettings(host="127.0.0.1", port=mute.getsockname()[1], open_timeout=0.6)
        web = SshServer("web", settings, known_hosts=sshd.known_hosts, key=sshd.key)
        took, _ = seconds(lambda: web.ask("echo", within_seconds=5), Unreachable)
        assert took < 4
        web.close()


def test_after_close_nothing_is_sent_any_more(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo")
    _, error = seconds(lambda: web.ask("echo"), Unreachable)
    assert "closed by us" in str(error)
