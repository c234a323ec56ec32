"""Who answers on a real segment: machines in network namespaces of their own behind one bridge, ARP and ND."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from failover.model import Reading, State
from failover.probes.address import AddressProbe
from failover.probes.neighbour import segment_of, who_answers
from failover.probes.ping import PingProbe

from .conftest import ToySight, needed

pytestmark = pytest.mark.lab
MACS = {"web-1": "02:00:00:00:00:01", "web-2": "02:00:00:00:00:02"}
FOUR, SIX = "10.77.0.100", "fd77::100"
CLONE_NEWNET = 0x40000000


class Segment:
    """The monitor's end is this thread's namespace (br0); each machine is a process in one of its own."""

    def __init__(self) -> None:
        self.machines: dict[str, subprocess.Popen[bytes]] = {}
        run("ip link set lo up")
        run("ip link add br0 address 02:00:00:00:00:aa type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        run("ip link set br0 up")
        run("ip addr add 10.77.0.10/24 dev br0")
        run("ip -6 addr add fd77::10/64 dev br0 nodad")
        for number, (name, mac) in enumerate(MACS.items(), start=1):
            machine = subprocess.Popen(["unshare", "--net", "sleep", "120"])
            self.machines[name] = machine
            await_own_namespace(machine.pid)
            run(f"ip link add v{number} type veth peer name eth0 address {mac} netns {machine.pid}")
            run(f"ip link set v{number} master br0 up")
            self.on(name, "ip link set eth0 up")
            self.on(name, f"ip addr add 10.77.0.1{number}/24 dev eth0")

    def on(self, machine: str, command: str) -> None:
        run(f"nsenter --target {self.machines[machine].pid} --net {command}")

    def give(self, machine: str, *ips: str) -> None:
        for ip in ips:
            self.on(machine, f"ip addr add {ip}/{64 if ':' in ip else 24} dev eth0 {'nodad' if ':' in ip else ''}")

    def close(self) -> None:
        for machine in self.machines.values():
            machine.kill()
            machine.wait(5)


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, timeout=10, capture_output=True)


def await_own_namespace(pid: int) -> None:
    mine = os.readlink("/proc/thread-self/ns/net")
    for _ in range(400):
        if os.readlink(f"/proc/{pid}/ns/net") != mine:
            return
        time.sleep(0.005)
    raise AssertionError("unshare made no namespace")


def on_a_segment(story: Callable[[Segment], Awaitable[None]]) -> None:
    """Runs ``story`` in a thread that has left this machine's network for an empty one."""
    failures: list[BaseException] = []

    def alone() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            segment = Segment()
            try:
                asyncio.run(story(segment))  # type: ignore[arg-type]
            finally:
                segment.close()
        except BaseException as error:  # noqa: BLE001 - raised again by the test's own thread
            failures.append(error)

    thread = threading.Thread(target=alone)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


@pytest.fixture(autouse=True)
def may_build() -> None:
    for command, package in (("ip", "iproute2"), ("unshare", "util-linux"), ("nsenter", "util-linux")):
        needed(command, package)
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")


def told(name: str, *, held: bool = True) -> dict[str, Any]:
    return {"held": held, "mac": MACS[name], "answered_by": []}


async def look(ip: str, holder: str | None, answer: Any = None) -> Reading:
    sight = ToySight(services={"www": (ip, holder)}, answers={(str(holder), "address"): answer})
    return await AddressProbe(address="www").take("a", sight)


@contextmanager
def quick(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@pytest.mark.parametrize("ip", [FOUR, SIX])
def test_one_machine_answers_and_it_is_the_right_one(ip: str) -> None:
    async def story(segment: Segment) -> None:
        segment.give("web-1", ip)
        with quick(0.6):
            reading = await look(ip, "web-1", told("web-1"))
        assert (reading.state, reading.reason) == (
            State.UP,
            f"web-1 ({MACS['web-1']}) answers for {ip}, and nobody else",
        )
        assert reading.values == {"address_answers": 1.0}

    on_a_segment(story)


@pytest.mark.parametrize("ip", [FOUR, SIX])
def test_two_machines_answer(ip: str) -> None:
    async def story(segment: Segment) -> None:
        segment.give("web-1", ip)
        segment.give("web-2", ip)
        reading = await look(ip, "web-1", told("web-1"))
        assert (reading.state, reading.reason) == (
            State.DOWN,
            f"two machines answer for {ip}: {MACS['web-1']} and {MACS['web-2']}",
        )

    on_a_segment(story)


@pytest.mark.parametrize("ip", [FOUR, SIX])
def test_nobody_answers(ip: str) -> None:
    async def story(segment: Segment) -> None:
        reading = await look(ip, "web-1", told("web-1"))
        assert (reading.state, reading.reason) == (State.DOWN, f"nobody answers for {ip}; web-1 should")
        assert (await look(ip, None)).reason == f"nobody answers for {ip}, as it should be"

    on_a_segment(story)


@pytest.mark.parametrize("ip", [FOUR, SIX])
def test_the_wrong_machine_answers(ip: str) -> None:
    async def story(segment: Segment) -> None:
        segment.give("web-2", ip)
        for answer, why in [
            (told("web-1"), f"and that isn't web-1, which is {MACS['web-1']}"),
            (told("web-1", held=False), "and web-1 says that it doesn't hold it"),
        ]:
            reading = await look(ip, "web-1", answer)
            assert (reading.state, reading.reason) == (
                State.DOWN,
                f"{MACS['web-2']} answers for {ip}, {why}",
            )
        assert (await look(ip, None)).state is State.DOWN

    on_a_segment(story)


def test_many_ask_at_once_over_one_socket_and_leave_none_behind() -> None:
    async def story(segment: Segment) -> None:
        ips = [f"10.77.0.{n}" for n in range(100, 150)]
        segment.give("web-1", *ips)
        segment.give("web-2", ips[7])
        before = len(os.listdir("/proc/self/fd"))
        answers = asyncio.gather(*(who_answers(ip, 0.4) for ip in ips * 4))
        await asyncio.sleep(0.1)
        assert len(os.listdir("/proc/self/fd")) == before + 1
        for number, macs in enumerate(await answers):
            assert set(macs) == set(MACS.values()) if number % 50 == 7 else macs == [MACS["web-1"]]
        assert len(os.listdir("/proc/self/fd")) == before

    on_a_segment(story)


def test_a_machine_that_is_ping_dead_still_answers_for_its_address() -> None:
    async def story(segment: Segment) -> None:
        segment.give("web-1", FOUR)
        segment.on("web-1", "sysctl -qw net.ipv4.icmp_echo_ignore_all=1")
        assert (await PingProbe(address=FOUR, timeout="300ms").take("p", ToySight())).state is State.DOWN
        assert (await look(FOUR, "web-1", told("web-1"))).state is State.UP
        segment.on("web-1", "sysctl -qw net.ipv4.icmp_echo_ignore_all=0")
        assert (await PingProbe(address=FOUR, timeout="300ms").take("p", ToySight())).state is State.UP

    on_a_segment(story)


def test_a_network_that_is_not_there_is_the_monitors_trouble() -> None:
    async def story(segment: Segment) -> None:
        reading = await PingProbe(address="192.0.2.1", timeout="300ms").take("p", ToySight())
        assert (reading.state, reading.reason) == (
            State.UNKNOWN,
            "can't reach 192.0.2.1: this machine has no route there (ENETUNREACH)",
        )
        assert segment_of("192.0.2.1") is None
        assert (found := segment_of(FOUR)) is not None
        assert found.interface == "br0"
        run("ip link set br0 down")
        reading = await look(FOUR, "web-1", told("web-1"))
        assert reading.state is State.UNKNOWN or "web-1" in reading.reason

    on_a_segment(story)
