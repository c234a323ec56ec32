"""A session over a real sshd, and everything that a network or a peer can do to it."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from failover.errors import ChangeFailed, HostKeyChanged, OutcomeUnknown, Refused, Unreachable
from failover.model import Token
from failover.servers.base import Server
from failover.servers.ssh import SshServer, SshSettings
from tests.servers.sshd import Sshd, make_key, wait_until

TOKEN = Token(3, 7)


def seconds(call: Callable[[], object], expected: type[Exception]) -> tuple[float, Exception]:
    began = time.monotonic()
    with pytest.raises(expected) as caught:
        call()
    return time.monotonic() - began, caught.value


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


# a peer that is silent, gone, or comes back


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


def wait_for_answer(web: SshServer, within: float = 15) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            web.ask("echo", within_seconds=2)
        except Unreachable:
            time.sleep(0.2)
        else:
            return True
    return False


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


# a peer that talks nonsense


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


# whom to believe, and who we are


def test_a_changed_host_key_gets_not_one_request_and_raises_the_alarm_once(sshd: Sshd) -> None:
    alarms: list[tuple[str, str]] = []
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    web = sshd.server(alarm=lambda server, sentence: alarms.append((server, sentence)))
    with pytest.raises(HostKeyChanged, match="somebody else may be answering there; nothing was sent"):
        web.ask("echo")
    with pytest.raises(HostKeyChanged):
        web.change("set", {"value": 1}, token=TOKEN, within_seconds=2)
    time.sleep(1.5)
    web.close()
    assert len(alarms) == 1
    assert alarms[0][0] == "web"
    assert sshd.lines("opened") == sshd.lines("received") == []
    assert "Accepted publickey" not in sshd.log.read_text()
    assert "Connection closed by authenticating user" not in sshd.log.read_text(), "not even the user's name was sent"


def test_a_host_key_that_changes_under_a_warm_session_is_noticed_at_the_next_one(sshd: Sshd) -> None:
    with sshd.session() as web:
        web.ask("echo")
        sshd.stop()
        sshd.new_host_key()
        sshd.start()
        with pytest.raises(HostKeyChanged):
            web.ask("echo")


def test_a_server_that_was_never_enrolled_is_believed_nothing(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    with sshd.session() as web:
        _, error = seconds(lambda: web.ask("echo"), Unreachable)
        assert "no host key is pinned" in str(error)
        assert not isinstance(error, HostKeyChanged)
    assert sshd.lines("opened") == []


def test_enrolling_it_then_needs_no_restart(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    with sshd.session() as web:
        seconds(lambda: web.ask("echo"), Unreachable)
        sshd.pin()
        assert wait_for_answer(web, within=5)


def test_a_refused_login_isnt_tried_a_third_time_soon(sshd: Sshd) -> None:
    sshd.allow(make_key(sshd.folder / "other").with_suffix(".pub"))
    with sshd.session() as web:
        _, error = seconds(lambda: web.ask("echo"), Unreachable)
        assert "refuses the login of" in str(error)
        until = time.monotonic() + 12
        asked = 0
        while time.monotonic() < until:
            took, _ = seconds(lambda: web.ask("echo"), Unreachable)
            assert took < 4
            asked += 1
            time.sleep(0.1)
    assert asked > 20
    log = sshd.log.read_text()
    assert log.count("Failed publickey") == 2, "the second try comes after 5 s, the third not before a minute"


def test_the_agent_and_roots_own_keys_are_left_alone(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        agent.settimeout(0)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        with sshd.session() as web:
            web.ask("echo")
        with pytest.raises(BlockingIOError):
            agent.accept()


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_key_that_others_can_read_or_its_group_can_change_isnt_used(sshd: Sshd, mode: int) -> None:
    sshd.key.chmod(mode)
    with sshd.session() as web:
        _, error = seconds(lambda: web.ask("echo"), Unreachable)
        assert f"the key {sshd.key} has mode {mode:04o}" in str(error)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_key_that_the_daemons_group_can_read_is_used(sshd: Sshd, mode: int) -> None:
    sshd.key.chmod(mode)
    with sshd.session() as web:
        assert web.ask("echo") == {"echo": {}}


def test_only_modern_algorithms_are_offered(tmp_path: Path) -> None:
    old = Sshd(tmp_path, extra="Ciphers aes128-cbc\nKexAlgorithms diffie-hellman-group14-sha256")
    old.pin()
    old.allow(old.key.with_suffix(".pub"))
    old.start()
    try:
        with old.session() as web:
            _, error = seconds(lambda: web.ask("echo"), Unreachable)
            assert "ncompatible" in str(error) or "no acceptable" in str(error)
    finally:
        old.stop()


def test_the_key_shows_nowhere(sshd: Sshd, caplog: pytest.LogCaptureFixture) -> None:
    body = "".join(sshd.key.read_text().splitlines()[1:-1])
    canaries = [body[i : i + 24] for i in range(60, len(body) - 24, 24)]
    caplog.set_level(logging.DEBUG)
    logging.getLogger("failover.servers.paramiko").setLevel(logging.DEBUG)
    try:
        with sshd.session() as web:
            web.ask("echo")
            shown = [caplog.text, repr(web), repr(vars(web)), json.dumps(dict(os.environ))]
            for pid in [os.getpid(), int(sshd.lines("opened")[-1])]:
                shown += [Path(f"/proc/{pid}/{name}").read_text(errors="replace") for name in ("cmdline", "environ")]
            with pytest.raises(OutcomeUnknown) as error:
                web.ask("silence", within_seconds=0.2)
            shown += [str(error.value), sshd.log.read_text()]
    finally:
        logging.getLogger("failover.servers.paramiko").setLevel(logging.CRITICAL)
    assert caplog.text, "the log was listened to"
    assert not [canary for canary in canaries if any(canary in text for text in shown)]


@pytest.mark.parametrize(
    ("text", "host", "port", "user"),
    [
        ("10.77.0.11", "10.77.0.11", 22, "failover"),
        ("10.77.0.11:2222", "10.77.0.11", 2222, "failover"),
        ("[fd77::11]:2222", "fd77::11", 2222, "failover"),
        ("fd77::11", "fd77::11", 22, "failover"),
        ("lin@web.example:22", "web.example", 22, "lin"),
    ],
)
def test_a_place_for_ssh_can_be_written_in_one_word(text: str, host: str, port: int, user: str) -> None:
    settings = SshSettings.model_validate(text)
    assert (settings.host, settings.port, settings.user) == (host, port, user)


@pytest.mark.parametrize("text", ["", "a b", "a:b", "a:99999", "@", "-oProxyCommand=x y"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        SshSettings.model_validate(text)
