"""Addresses held and released on real interfaces, watched from another machine of the segment."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.helper_fixtures import Syslog, pythons
from tests.servers.segment import Machine, Segment
from tests.servers.speak import ADDRESS, HELPER, Home, Speak, kind

pytestmark = pytest.mark.lab

V4, V6 = "10.77.0.100", "fd77::100"
NETWORK = {V4: 24, V6: 64}
BOTH = [V4, V6]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    six = {"name": "www6", "ip": V6, "interface": "eth0", "prefix": 64}
    return Home(tmp_path / "root", addresses=[ADDRESS, six], see=["10.77.0.0/24", "fd77::/64"])


@pytest.fixture
def web(segment: Segment) -> Machine:
    segment["web"].greet()
    return segment["web"]


@pytest.fixture
def client(segment: Segment) -> Machine:
    return segment["client"]


def want(ip: str, state: str, **more: Any) -> dict[str, Any]:
    return {"ip": ip, "interface": "eth0", "prefix": NETWORK[ip], "want": state, **more}


def announcers(home: Home, word: bytes = b"announce") -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if word in words and str(home.root).encode() in words:
            found.append(int(folder.name))
    return found


@pytest.fixture(autouse=True)
def no_announcer_is_left(home: Home) -> Iterator[None]:
    yield
    for pid in announcers(home) + announcers(home, b"guard"):
        with suppress(ProcessLookupError):  # it may be ending by itself
            os.kill(pid, signal.SIGKILL)


class Frames:
    """What a machine hears on the wire about an address: (operation, MAC)."""

    SCRIPT = """
import socket, sys, time
packed = bytes.fromhex(sys.argv[1])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind(("eth0", 0))
print("ready", flush=True)
while True:
    frame, where = s.recvfrom(2000)
    mac = ":".join(f"{byte:02x}" for byte in frame[6:12])
    if frame[12:14] == b"\\x08\\x06" and frame[28:32] == packed:
        print("arp", frame[21], mac, int(frame[38:42] == packed), where[2], flush=True)
    if frame[12:14] == b"\\x86\\xdd" and frame[20] == 58 and frame[54] == 136 and frame[62:78] == packed:
        linked = frame[78:80] == b"\\2\\1" and frame[80:86] == frame[6:12]
        print("na", frame[58] >> 4, mac, int(linked), where[2], flush=True)
"""

    def __init__(self, machine: Machine, ip: str) -> None:
        self._process = machine.start(sys.executable, "-c", self.SCRIPT, ipaddress.ip_address(ip).packed.hex())
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"

    def stop(self) -> list[str]:
        self._process.kill()
        assert self._process.stdout
        lines = self._process.stdout.read().decode().splitlines()
        self._process.stdout.close()
        self._process.wait()
        return lines


# --- holding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("python", pythons())
@pytest.mark.parametrize("ip", BOTH)
def test_held_means_that_visitors_reach_it(
    home: Home, web: Machine, client: Machine, speak: Speak, ip: str, python: str
) -> None:
    speaker = speak(home, web.prefix, python)
    assert client.reaches(ip) is None
    answer = speaker.change("address", want(ip, "held"))["result"]
    assert answer == {
        "held": True, "interface": "eth0", "prefix": NETWORK[ip], "mac": web.mac, "parked": False, "tentative": False,
        "dadfailed": False,
    }  # fmt: skip
    assert client.reaches(ip) == "web"
    assert web.ips()[ip] == NETWORK[ip]
    assert speaker.ask("address", ip=ip)["result"] == answer


def test_held_twice_is_held_once(home: Home, web: Machine, speak: Speak) -> None:
    speaker = speak(home, web.prefix)
    first = speaker.change("address", want(V4, "held"))
    assert speaker.change("address", want(V4, "held"))["result"] == first["result"]
    assert list(web.ips()).count(V4) == 1


def test_an_ipv6_service_address_is_never_the_source_of_own_connections(
    home: Home, web: Machine, client: Machine, speak: Speak
) -> None:
    speak(home, web.prefix).change("address", want(V6, "held"))
    route = web.run(f"ip -6 route get {client.ipv6}")
    assert f"src {web.ipv6}" in route


@pytest.mark.parametrize("ip", BOTH)
def test_neighbours_learn_it_at_once(home: Home, segment: Segment, client: Machine, speak: Speak, ip: str) -> None:
    old, new = segment["old"], segment["new"]
    old.greet()
    new.greet()
    flags = " nodad" if ":" in ip else ""
    old.run(f"ip addr add {ip}/{NETWORK[ip]} dev eth0{flags}")
    assert client.reaches(ip) == "old"
    assert client.neighbour(ip) == old.mac
    old.run(f"ip addr del {ip}/{NETWORK[ip]} dev eth0")
    assert "result" in speak(home, new.prefix).change("address", want(ip, "held"))
    assert client.neighbour(ip) == new.mac
    assert client.reaches(ip) == "new"


def test_it_is_announced_in_both_forms_and_again(home: Home, web: Machine, client: Machine, speak: Speak) -> None:
    heard4, heard6 = Frames(client, V4), Frames(client, V6)
    speaker = speak(home, web.prefix)
    for ip in BOTH:
        assert "result" in speaker.change("address", want(ip, "held"))
    speaker.hang_up()  # the announcer outlives the session
    time.sleep(2.6)
    arp, adverts = heard4.stop(), heard6.stop()
    assert [line.split()[:4] for line in arp[:2]] == [["arp", "1", web.mac, "1"], ["arp", "2", web.mac, "1"]]
    assert len(arp) == 6, "at once, after 1 s and after 2 s, both forms each"
    assert [line.split()[:4] for line in adverts] == [["na", "2", web.mac, "1"]] * 3, (
        "override flag, link-layer address"
    )


def test_one_announcer_an_address_and_none_without_it(home: Home, web: Machine, speak: Speak) -> None:
    speaker = speak(home, web.prefix)
    for _ in range(3):
        speaker.change("address", want(V4, "held"))
    time.sleep(2.5)
    assert len(announcers(home)) == 1
    speaker.change("address", want(V4, "released"))
    deadline = time.monotonic() + 4
    while announcers(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not announcers(home)


def open_files(pid: int) -> set[str]:
    """What a process has open; asked anew where it closes something just then."""
    for _ in range(50):
        try:
            return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
        except FileNotFoundError:
            time.sleep(0.02)
    raise AssertionError(f"process {pid} is gone, or never holds still")


def test_an_announcer_holds_nothing_of_the_session(home: Home, web: Machine, speak: Speak) -> None:
    speaker = speak(home, web.prefix)
    speaker.change("address", want(V4, "held"))
    speaker.hang_up()
    deadline = time.monotonic() + 5
    while len(announcers(home)) != 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    (pid,) = announcers(home)
    assert open_files(pid) == {"/dev/null"}


# --- refusing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ip", BOTH)
def test_a_taken_address_is_refused_with_the_mac_that_has_it(
    home: Home, web: Machine, segment: Segment, speak: Speak, ip: str
) -> None:
    third = segment["third"]
    third.run(f"ip addr add {ip}/{NETWORK[ip]} dev eth0{' nodad' if ':' in ip else ''}")
    speaker = speak(home, web.prefix)
    reply = speaker.change("address", want(ip, "held"))
    assert kind(reply) == ("address-taken", False)
    assert reply["error"]["result"]["answered_by"] == [third.mac]
    assert ip not in web.ips()
    assert speaker.ask("address", ip=ip, probe=True)["result"]["answered_by"] == [third.mac]
    third.run(f"ip addr del {ip}/{NETWORK[ip]} dev eth0")
    assert speaker.ask("address", ip=ip, probe=True)["result"]["answered_by"] == []
    assert "result" in speaker.change("address", want(ip, "held"))


def test_a_probe_sees_two_that_answer(home: Home, web: Machine, segment: Segment, speak: Speak) -> None:
    for name in ("one", "two"):
        segment[name].run(f"ip addr add {V4}/24 dev eth0")
    heard = speak(home, web.prefix).ask("address", ip=V4, probe=True, probe_seconds=0.2)["result"]["answered_by"]
    assert heard == sorted([segment["one"].mac, segment["two"].mac])


ASKING = """
import socket, time
mac = bytes.fromhex("0200000000ff")
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0x0806))
frame = b"\\xff" * 6 + mac + bytes.fromhex("08060001080006040001") + mac + bytes(10) + bytes([10, 77, 0, 100])
while True:
    s.send(frame); time.sleep(0.01)
"""


def test_somebody_elses_question_is_no_answer(home: Home, web: Machine, segment: Segment, speak: Speak) -> None:
    """The monitor asks all day who has the address; that mustn't look like somebody who wants it."""
    asking = segment["other"].start(sys.executable, "-c", ASKING)
    time.sleep(0.3)
    assert "result" in speak(home, web.prefix).change("address", want(V4, "held"))
    assert asking.poll() is None
    asking.kill()
    asking.wait()
    assert asking.stdout
    asking.stdout.close()


@pytest.mark.parametrize(
    ("spoil", "kinds"),
    [
        ("ip link set eth0 name eth9", "no-interface"),
        ("ip link set eth0 down", "interface-down"),
        (
            "ip link add eth1 type veth peer name x; ip addr add 10.77.0.100/24 dev eth1; ip link set eth1 up",
            "wrong-interface",
        ),
    ],
)
def test_an_unfit_interface_is_refused(home: Home, web: Machine, speak: Speak, spoil: str, kinds: str) -> None:
    web.run(spoil)
    assert kind(speak(home, web.prefix).change("address", want(V4, "held"))) == (kinds, False)


def test_no_link_is_refused(home: Home, web: Machine, segment: Segment, speak: Speak) -> None:
    segment.switch.run(f"ip link set p{web.number} down")
    speaker = speak(home, web.prefix)
    assert kind(speaker.change("address", want(V4, "held"))) == ("no-carrier", False)
    assert kind(speaker.ask("address", ip=V4, probe=True)) == ("no-carrier", False)


def test_without_a_prefix_the_interfaces_network_gives_it(home: Home, web: Machine, speak: Speak) -> None:
    near, far = ({"name": "a", "ip": ip, "interface": "eth0", "prefix": None} for ip in (V4, "10.99.0.1"))
    home.write_policy(addresses=[near, far])
    speaker = speak(home, web.prefix)
    assert speaker.change("address", {**want(V4, "held"), "prefix": None})["result"]["prefix"] == 24
    reply = speaker.change("address", {"ip": "10.99.0.1", "interface": "eth0", "want": "held"})
    assert kind(reply) == ("no-network", False)
    assert "10.77.0.0/24" in reply["error"]["message"]


# --- releasing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("python", pythons())
@pytest.mark.parametrize("ip", BOTH)
def test_released_means_silent_even_when_it_comes_back(
    home: Home, web: Machine, client: Machine, speak: Speak, ip: str, python: str
) -> None:
    speaker = speak(home, web.prefix, python)
    speaker.change("address", want(ip, "held"))
    assert client.reaches(ip) == "web"
    answer = speaker.change("address", want(ip, "released"))["result"]
    assert (answer["held"], answer["parked"]) == (False, True)
    assert ip not in web.ips()
    # DHCP, networkd or a person puts it back: nobody hears of it.
    web.run(f"ip addr add {ip}/{NETWORK[ip]} dev eth0{' nodad' if ':' in ip else ''}")
    assert client.reaches(ip) is None
    client.run("ip neigh flush dev eth0")
    assert client.reaches(ip) is None
    assert speak(home, client.prefix).ask("address", ip=ip, probe=True)["result"]["answered_by"] == []
    seen = speaker.ask("address", ip=ip)["result"]
    assert (seen["held"], seen["parked"]) == (True, True)
    # and its own address is as good as before
    assert client.reaches(web.ipv4 if "." in ip else web.ipv6) == "web"
    # held again: lifted
    assert "result" in speaker.change("address", want(ip, "held"))
    assert client.reaches(ip) == "web"


@pytest.mark.parametrize("ip", BOTH)
def test_a_parked_server_reaches_the_new_holder(
    home: Home, segment: Segment, speak: Speak, ip: str, tmp_path: Path
) -> None:
    old, new = segment["old"], segment["new"]
    new.greet()
    assert "result" in speak(home, old.prefix).change("address", want(ip, "released"))
    beside = Home(tmp_path / "beside", addresses=json.loads(home.policy_file.read_text())["addresses"])
    assert "result" in speak(beside, new.prefix).change("address", want(ip, "held"))
    assert old.reaches(ip) == "new"
    assert speak(home, old.prefix).ask("see", ip=ip, port=80)["result"]["seen"]


def test_parking_one_keeps_the_others_parked(home: Home, web: Machine, speak: Speak) -> None:
    speaker = speak(home, web.prefix)
    for ip in BOTH:
        speaker.change("address", want(ip, "released"))
    assert sorted(speaker.ask("facts", sections=["parked"])["result"]["parked"]) == BOTH
    speaker.change("address", want(V4, "held"))
    assert speaker.ask("facts", sections=["parked"])["result"]["parked"] == [V6]


@pytest.mark.parametrize("promotes", ["0", "1"])
@pytest.mark.parametrize("writable", [True, False], ids=["sysctl", "no sysctl"])
def test_releasing_the_first_address_of_a_subnet_keeps_the_others_and_the_routes(
    home: Home, web: Machine, client: Machine, speak: Speak, promotes: str, writable: bool
) -> None:
    """N8: with promote_secondaries=0 the kernel would remove the server's own address too, and lock the monitor out."""
    web.run(
        f"sysctl -qw net.ipv4.conf.all.promote_secondaries=0 net.ipv4.conf.eth0.promote_secondaries={promotes};"
        f"ip addr flush dev eth0; ip addr add {V4}/24 dev eth0; ip addr add {web.ipv4}/24 brd + dev eth0;"
        "ip addr add 10.77.0.200/24 dev eth0;"
        f"ip route add default via {client.ipv4}; ip route add 10.5.0.0/16 via {client.ipv4}"
    )
    routes = web.run("ip -4 route").splitlines()
    enter = (
        web.prefix
        if writable
        else [*web.prefix, "unshare", "-m", "sh", "-c", 'mount -o bind,ro /proc/sys /proc/sys; exec "$@"', "sh"]
    )
    speaker = speak(home, enter)
    assert "result" in speaker.change("address", want(V4, "released"))
    assert {ip for ip in web.ips() if "." in ip} == {web.ipv4, "10.77.0.200"}
    assert client.reaches(web.ipv4) == "web"
    left = web.run("ip -4 route").splitlines()
    assert [line.strip() for line in left if "via" in line] == [line.strip() for line in routes if "via" in line]
    assert web.run("sysctl -n net.ipv4.conf.eth0.promote_secondaries").strip() == promotes


def test_released_from_every_interface_that_has_it(home: Home, web: Machine, speak: Speak) -> None:
    web.run(f"ip link add eth1 type veth peer name x; ip addr add {V4}/32 dev eth1; ip addr add {V4}/16 dev eth0")
    assert "result" in speak(home, web.prefix).change("address", want(V4, "released"))
    assert V4 not in web.run("ip addr")


FULL = "mount -t tmpfs -o size=4k,nr_inodes=1 none {run}"
READ_ONLY = "mount -t tmpfs -o ro none {run}"


@pytest.mark.parametrize("disk", [FULL, READ_ONLY], ids=["full", "read-only"])
def test_releasing_needs_no_place_to_write_and_taking_does(
    home: Home, web: Machine, client: Machine, speak: Speak, disk: str
) -> None:
    speak(home, web.prefix).change("address", want(V4, "held"))
    script = (
        disk.format(run=home.root / "run")
        + f' && mount -o bind,ro {home.root / "var"} {home.root / "var"} && exec "$@"'
    )
    speaker = speak(home, [*web.prefix, "unshare", "-m", "sh", "-c", script, "sh"])
    answer = speaker.change("address", want(V4, "released"))
    assert (answer["result"]["held"], answer["result"]["parked"]) == (False, True)
    assert client.reaches(V4) is None
    assert kind(speaker.change("address", want(V4, "held"))) == ("no-token-store", False)
    # the newest token is kept in memory then
    assert kind(speaker.change("address", want(V4, "released"), epoch=0)) == ("stale-token", False)


def test_without_nft_it_is_removed_and_said_not_to_be_silenced(home: Home, web: Machine, speak: Speak) -> None:
    web.run(f"ip addr add {V4}/24 dev eth0")
    nft = subprocess.run(["which", "nft"], capture_output=True, text=True, check=True).stdout.strip()
    broken = [*web.prefix, "unshare", "-m", "sh", "-c", f'mount --bind /bin/false {nft}; exec "$@"', "sh"]
    reply = speak(home, broken).change("address", want(V4, "released"))
    assert kind(reply) == ("not-silenced", True)
    assert (reply["error"]["result"]["held"], reply["error"]["result"]["parked"]) == (False, False)
    assert V4 not in web.ips()
    speak(home, web.prefix).change("address", want(V4, "released"))
    assert kind(speak(home, broken).change("address", want(V4, "held"))) == ("not-silenced", False)
    assert speak(home, web.prefix).ask("address", ip=V4)["result"]["parked"]


# --- at boot, by hand ------------------------------------------------------------------------------------------------


def helper(machine: Machine, home: Home, *words: str) -> str:
    command = [*machine.prefix, pythons()[0], "-IS", str(HELPER), "--root", str(home.root), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_boot_guard_parks_before_the_boot_config_claims(
    home: Home, web: Machine, client: Machine, speak: Speak, syslog: Syslog
) -> None:
    helper(web, home, "guard")
    web.run(f"ip addr add {V4}/24 dev eth0; ip addr add {V6}/64 dev eth0 nodad")
    assert client.reaches(V4) is None
    assert client.reaches(V6) is None
    deadline = time.monotonic() + 4
    while {V4, V6} & set(web.ips()):
        assert time.monotonic() < deadline, "it takes off what came up"
        time.sleep(0.05)
    assert any("parked at boot" in line for line in syslog.lines)
    # given back by the daemon, it stays, and a guard started again leaves it
    assert "result" in speak(home, web.prefix).change("address", want(V4, "held"))
    assert "nothing is done" in helper(web, home, "guard")
    helper(web, home, "guard", "--late")
    time.sleep(1.2)
    assert client.reaches(V4) == "web"


def test_a_person_may_unpark_and_is_asked_the_same(home: Home, web: Machine, segment: Segment, client: Machine) -> None:
    helper(web, home, "guard")
    segment["third"].run(f"ip addr add {V4}/24 dev eth0")
    with pytest.raises(AssertionError, match="answers for"):
        helper(web, home, "unpark", V4)
    segment["third"].run(f"ip addr del {V4}/24 dev eth0")
    assert json.loads(helper(web, home, "unpark", V4))["held"]
    assert client.reaches(V4) == "web"
