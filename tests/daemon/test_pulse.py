"""The watchdog's sign of life is tied to progress."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from failover.daemon.pulse import Pulse
from failover.journal.journal import Journal
from tests.waiting import wait_until


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield sock


def heard(systemd: socket.socket) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found += systemd.recv(4096).decode().splitlines()
    return found


async def wait_for(true: Callable[[], object]) -> None:
    """Until it is so; the loop goes on meanwhile."""
    await asyncio.to_thread(wait_until, true)


async def test_it_beats_only_while_checks_and_journal_move(systemd: socket.socket, tmp_path: Path) -> None:
    stuck: list[str] = []
    with Journal.open(tmp_path / "journal.db", ballast_bytes=0) as journal:
        pulse = Pulse(journal, lambda: stuck, lambda: "all is well")
        task = asyncio.create_task(pulse.run())
        said: list[str] = []

        def beats() -> bool:
            said.extend(heard(systemd))
            return said.count("WATCHDOG=1") >= 2

        await wait_for(beats)
        assert "STATUS=all is well" in said
        stuck.append("shop: check website doesn't look")
        await asyncio.sleep(0.15)
        heard(systemd)
        await asyncio.sleep(0.35)
        assert "WATCHDOG=1" not in heard(systemd)
        stuck.clear()
        await wait_for(lambda: "WATCHDOG=1" in heard(systemd))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_journal_that_hangs_stops_the_beat(
    systemd: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("failover.daemon.pulse.JOURNAL_SECONDS", 0.2)
    with Journal.open(tmp_path / "journal.db", ballast_bytes=0) as journal:
        pulse = Pulse(journal, list, lambda: "all is well")  # asked once every five seconds: to 0.2 s that is hanging
        task = asyncio.create_task(pulse.run())
        await asyncio.sleep(0.5)
        heard(systemd)
        await asyncio.sleep(0.3)
        said = heard(systemd)
        assert "WATCHDOG=1" not in said
        assert "the journal hasn't answered" in pulse.troubles()[0]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
