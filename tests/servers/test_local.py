"""The same session over a process of this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover.errors import OutcomeUnknown, Unreachable
from failover.model import Token
from failover.servers.base import Server
from failover.servers.local import LocalServer
from tests.servers.sshd import TOY
from tests.waiting import wait_until


@pytest.fixture
def here(tmp_path: Path) -> Iterator[LocalServer]:
    server = LocalServer("monitor", [sys.executable, str(TOY), str(tmp_path)])
    yield server
    server.close()


def test_it_is_a_server_and_answers(here: LocalServer) -> None:
    assert isinstance(here, Server)
    assert here.ask("echo", text="厦门") == {"echo": {"text": "厦门"}}
    assert here.change("set", {"value": 4}, token=Token(1, 1), within_seconds=5) == {"value": 4}


def test_a_process_that_dies_is_told_with_its_last_words_and_started_again(here: LocalServer) -> None:
    with pytest.raises(OutcomeUnknown, match="the helper hung up with exit code 3: sudo: a password is required"):
        here.change("die", {"code": 3}, token=Token(1, 1), within_seconds=5)
    wait_until(here.warm)
    assert here.ask("echo") == {"echo": {}}


def test_a_program_that_isnt_there_is_unreachable() -> None:
    server = LocalServer("monitor", ["/no/such/helper"])
    with pytest.raises(Unreachable, match="/no/such/helper can't be started: No such file"):
        server.ask("facts")
    server.close()


def test_closing_ends_the_process_even_if_it_ignores_the_end_of_its_input(tmp_path: Path) -> None:
    (tmp_path / "opening").write_text("mute")
    server = LocalServer("monitor", [sys.executable, str(TOY), str(tmp_path)], open_seconds=1)
    wait_until(lambda: (tmp_path / "opened").exists())
    pid = int((tmp_path / "opened").read_text().split()[0])
    with pytest.raises(Unreachable, match="no helper greeted within"):
        server.ask("echo")
    server.close()
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_environment_isnt_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIAL", "canary")
    server = LocalServer("monitor", [sys.executable, str(TOY), str(tmp_path)])
    server.ask("echo")
    pid = int((tmp_path / "opened").read_text())
    assert "canary" not in Path(f"/proc/{pid}/environ").read_text()
    assert os.environ["CREDENTIAL"] == "canary"
    server.close()
