"""Whom a session believes, and as whom it comes."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from pathlib import Path

import pytest

from failover.errors import HostKeyChanged, OutcomeUnknown, Unreachable
from failover.servers.ssh import SshSettings
from tests.servers.sshd import TOKEN, Sshd, make_key, seconds, wait_for_answer


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
