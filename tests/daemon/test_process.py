"""``failover daemon`` as a process, as systemd sees it. Its servers are loopback addresses where nobody listens."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover.cli.client import Answered, Client, DaemonUnreachable
from failover.journal.journal import Journal
from failover.journal.verify import verify

CONFIG = """
site: {{name: bureau}}
servers:
  web:        {{ssh: "127.77.9.11:9"}}
  web-backup: {{ssh: "127.77.9.12:9"}}
roles:
  web: {{home: web, standby: web-backup}}
checks:
  website: {{kind: http, role: web, url: "http://{{holder}}:9/", every: {every}}}
plans:
  web: {{when: website is down, mode: propose, steps: [answers: {{check: website}}]}}
channels:
  robot: {{kind: webhook, url: "http://127.0.0.1:9/"}}
store: {{path: {folder}/state, keys: {folder}/keys, known_hosts: {folder}/known_hosts}}
console: {{socket: {folder}/api.sock, listen: null}}
"""


class Process:
    """A daemon of its own, with a systemd that listens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "failover.yaml"
        self.client = Client(str(folder / "api.sock"))
        self.process: subprocess.Popen[str] | None = None
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(str(folder / "notify"))
        self.systemd.settimeout(20)
        (folder / "state").mkdir()
        (folder / "known_hosts").touch()
        self.write()

    def write(self, every: str = "1s") -> None:
        self.config.write_text(CONFIG.format(folder=self.folder, every=every))
        self.config.chmod(0o600)

    def start(self, **env: str) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "failover", "daemon", "--config", str(self.config)],
            env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"), **env},
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        return self.process

    def hears(self, word: str) -> str:
        """What systemd is told, once it is told that."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            said = self.systemd.recv(4096).decode()
            if word in said.splitlines() or any(line.startswith(word) for line in said.splitlines()):
                return said
        raise AssertionError(f"systemd never heard {word}")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        assert self.process is not None
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=40)
        return self.process.returncode, said


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.communicate()
    made.systemd.close()


def kinds(process: Process) -> list[str]:
    with Journal.open(process.folder / "state/journal.db", ballast_bytes=0) as journal:
        return [event.kind for event in journal.events()]


def test_it_tells_systemd_when_it_is_ready_alive_and_stopping(process: Process) -> None:
    process.start(WATCHDOG_USEC="3000000")
    assert "STATUS=bureau: 0 of 1 checks up" in process.hears("READY=1")
    process.hears("WATCHDOG=1")
    process.hears("WATCHDOG=1")
    assert process.client.get("/status")["epoch"] == 1
    code, said = process.end()
    assert code == 0, said
    process.hears("STOPPING=1")
    assert kinds(process)[-1] == "daemon.stopped"
    assert not (process.folder / "api.sock").exists() or _nobody(process)


def _nobody(process: Process) -> bool:
    with pytest.raises(DaemonUnreachable):
        process.client.get("/status")
    return True


def test_a_bad_config_is_exit_code_78_with_every_problem_and_nothing_is_touched(process: Process) -> None:
    process.config.write_text(process.config.read_text().replace("home: web,", "hoem: web,") + "colour: red\n")
    daemon = process.start()
    _, said = daemon.communicate(timeout=30)
    assert daemon.returncode == 78
    assert re.search(r"failover\.yaml:\d+:\d+: roles\.web: .*hoem", said), said
    assert "colour" in said
    assert not (process.folder / "state/journal.db").exists()


def test_a_second_daemon_is_refused_with_a_sentence(process: Process) -> None:
    process.start()
    process.hears("READY=1")
    second = subprocess.run(
        [sys.executable, "-m", "failover", "daemon", "--config", str(process.config)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "NOTIFY_SOCKET": ""},
    )  # fmt: skip
    assert second.returncode == 73, second.stderr
    assert "journal.db" in second.stderr
    assert "Traceback" not in second.stderr
    assert process.client.get("/status")["epoch"] == 1, "the first one goes on"


def test_after_kill_9_it_starts_again_with_a_larger_epoch(process: Process) -> None:
    process.start()
    process.hears("READY=1")
    process.end(signal.SIGKILL)
    process.start()
    process.hears("READY=1")
    assert process.client.get("/status")["epoch"] == 2
    assert process.end()[0] == 0
    assert verify(process.folder / "state/journal.db").sound


def test_a_reload_takes_a_good_config_and_refuses_a_bad_one(process: Process) -> None:
    daemon = process.start()
    process.hears("READY=1")
    process.write(every="3s")
    daemon.send_signal(signal.SIGHUP)
    assert re.search(r"^MONOTONIC_USEC=\d+$", process.hears("RELOADING=1"), re.M)
    process.hears("READY=1")
    before = process.client.get("/status")["config"]
    assert before["refused"] == []
    process.config.write_text("nonsense: yes\n")
    daemon.send_signal(signal.SIGHUP)
    process.hears("RELOADING=1")
    assert "STATUS=config refused: " in process.hears("READY=1")
    after = process.client.get("/status")["config"]
    assert after["sha256"] == before["sha256"]
    assert any("nonsense" in problem for problem in after["refused"])
    with pytest.raises(Answered, match="nonsense"):
        process.client.post("/reload")
    process.write(every="3s")
    assert process.client.post("/reload")["says"] == "the config is the same; nothing changed"
    assert process.client.get("/status")["config"]["refused"] == []
    assert process.end()[0] == 0
    assert kinds(process).count("config.refused") == 2
    assert kinds(process).count("config.loaded") == 2


def test_no_sign_of_life_without_progress(process: Process) -> None:
    """SIGSTOP stops the process whole: systemd's clock runs, nothing beats, and after SIGCONT it goes on."""
    daemon = process.start(WATCHDOG_USEC="1500000")
    process.hears("READY=1")
    process.hears("WATCHDOG=1")
    daemon.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    process.systemd.settimeout(0.1)
    with contextlib.suppress(TimeoutError):
        while True:
            process.systemd.recv(4096)
    process.systemd.settimeout(2)
    with pytest.raises(TimeoutError):
        process.systemd.recv(4096)
    daemon.send_signal(signal.SIGCONT)
    process.systemd.settimeout(20)
    process.hears("WATCHDOG=1")


def test_the_socket_is_for_its_group_only(process: Process) -> None:
    process.start()
    process.hears("READY=1")
    assert (process.folder / "api.sock").stat().st_mode & 0o777 == 0o660
