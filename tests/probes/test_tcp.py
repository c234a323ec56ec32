"""``tcp`` and ``ssh``: ports that accept, speak, stay silent, or say the wrong thing."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from failover.model import State
from failover.probes.ssh import SshProbe
from failover.probes.tcp import TcpProbe

from .conftest import Stage, ToySight, await_port, free_port, needed


def greeting(*pieces: bytes, then_closes: bool = True) -> Any:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        if not then_closes:
            await reader.read()
        writer.write_eof()
        await reader.read()

    return speak


async def test_a_port_that_accepts_is_up(stage: Stage, sight: ToySight) -> None:
    port = await stage.serve(greeting())
    reading = await TcpProbe(address="127.0.0.1", port=port).take("t", sight)
    assert (reading.state, reading.reason) == (State.UP, f"127.0.0.1:{port} accepts connections")
    assert (await TcpProbe(server="web-1", port=port).take("t", sight)).state is State.UP
    assert (await TcpProbe(role="web", address="{holder}", port=port).take("t", sight)).state is State.UP


async def test_ipv6_loopback(stage: Stage, sight: ToySight) -> None:
    port = await stage.serve(greeting(), host="::1")
    assert (await TcpProbe(address="::1", port=port).take("t", sight)).reason == f"[::1]:{port} accepts connections"
    four = await TcpProbe(address="::1", port=port, family="ipv4").take("t", sight)
    assert (four.state, four.reason) == (State.UNKNOWN, "::1 is no ipv4 address")


async def test_a_closed_port_is_down(sight: ToySight) -> None:
    assert (await TcpProbe(address="127.0.0.1", port=free_port()).take("t", sight)).state is State.DOWN


async def test_what_is_sent_must_be_answered(stage: Stage, sight: ToySight) -> None:
    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+PONG\r\n" if await reader.readline() == b"PING\r\n" else b"-ERR\r\n")
        await reader.read()

    port = await stage.serve(redis)
    good = TcpProbe(address="127.0.0.1", port=port, send="PING\r\n", expect="PONG")
    assert (await good.take("t", sight)).state is State.UP
    bad = await TcpProbe(address="127.0.0.1", port=port, send="HELLO\r\n", expect="PONG", timeout="200ms").take(
        "t", sight
    )
    assert bad.state is State.DOWN


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([b"220 mail", b".example ready"], None),
        ([b"554 go away\r\n"], "says '554 go away\\r\\n', expected 'mail.example'"),
        ([], "says nothing, expected 'mail.example'"),
        ([b"x" * 5000], "expected 'mail.example'"),
    ],
)
async def test_a_banner(stage: Stage, sight: ToySight, said: list[bytes], reason: str | None) -> None:
    port = await stage.serve(greeting(*said))
    reading = await TcpProbe(address="127.0.0.1", port=port, expect="mail.example").take("t", sight)
    assert reading.state is (State.UP if reason is None else State.DOWN)
    assert reason is None or reason in reading.reason


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        ([b"SSH-2.0-OpenSSH_9.2p1\r\n"], State.UP, "SSH-2.0-OpenSSH_9.2p1"),
        ([b"Only staff\r\n", b"SSH-1.99-Old", b"_1\n"], State.UP, "SSH-1.99-Old_1"),
        ([b"SSH-1.5-Ancient\r\n"], State.DOWN, "which isn't SSH 2"),
        ([b"Not allowed at this time\r\n"], State.UNKNOWN, "turns the monitor away: Not allowed at this time"),
        ([b"Exceeded MaxStartups\r\n"], State.UNKNOWN, "turns the monitor away: Exceeded MaxStartups"),
        ([], State.DOWN, "closed the connection without an SSH greeting"),
        ([b"y" * 3000, b"y" * 6000], State.DOWN, "doesn't speak SSH"),
    ],
)
async def test_ssh_greetings(stage: Stage, sight: ToySight, said: list[bytes], state: State, reason: str) -> None:
    port = await stage.serve(greeting(*said))
    reading = await SshProbe(address="127.0.0.1", port=port).take("s", sight)
    assert (reading.state, reason in reading.reason) == (state, True), reading.reason


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    program = needed("sshd", "openssh-server")
    keygen = needed("ssh-keygen", "openssh-client")
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True, timeout=20)
    port = free_port()
    (tmp_path / "conf").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {tmp_path}/key\nPidFile none\nUsePAM no\nStrictModes no\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [program, "-D", "-f", str(tmp_path / "conf")], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await_port(port, process)
        yield port, process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(5)


async def test_a_real_sshd_is_up_and_a_frozen_one_down(
    sshd: tuple[int, subprocess.Popen[bytes]], sight: ToySight
) -> None:
    port, process = sshd
    reading = await SshProbe(address="127.0.0.1", port=port, timeout="2s").take("s", sight)
    assert (reading.state, reading.reason[:16]) == (State.UP, "SSH-2.0-OpenSSH_")
    process.send_signal(signal.SIGSTOP)
    frozen = await SshProbe(address="127.0.0.1", port=port, timeout="300ms").take("s", sight)
    assert (frozen.state, frozen.seconds < 2) == (State.DOWN, True)
    assert (await TcpProbe(address="127.0.0.1", port=port).take("s", sight)).state is State.UP, "tcp can't tell"
