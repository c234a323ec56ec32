"""A network segment in namespaces: a switch and machines plugged into it. It ends with the process that made it."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
from typing import Any

_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _libc.prctl(1, signal.SIGKILL)


def namespace() -> subprocess.Popen[bytes]:
    """A process that keeps a network namespace alive."""
    script = "ip link set lo up && echo ready && exec sleep 1000"
    process = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE, preexec_fn=_die_with_parent
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n", "network namespaces need root"
    return process


class Machine:
    """A network namespace with one card, ``eth0``, plugged into the segment."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.mac = f"02:00:00:00:00:{number:02x}"
        self.ipv4, self.ipv6 = f"10.77.0.{number}", f"fd77::{number}"
        self._process = namespace()
        self._servers: list[subprocess.Popen[bytes]] = []
        self.prefix = ["nsenter", "-t", str(self._process.pid), "-n"]

    @property
    def pid(self) -> int:
        """Of a process inside."""
        return self._process.pid

    def run(self, *command: str, check: bool = True, stdin: str = "", timeout: float = 20) -> str:
        """Run a command inside, its output."""
        words = ["sh", "-ec", command[0]] if len(command) == 1 else list(command)
        done = subprocess.run(
            [*self.prefix, *words], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, f"{self.name}: {command}: {done.stderr or done.stdout}"
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command inside."""
        return subprocess.Popen(
            [*self.prefix, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=_die_with_parent
        )

    def ips(self, interface: str = "eth0") -> dict[str, int]:
        """Addresses with their prefix lengths."""
        (found,) = json.loads(self.run(f"ip -j addr show dev {interface}"))
        return {entry["local"]: entry["prefixlen"] for entry in found["addr_info"]}

    def neighbour(self, ip: str) -> str | None:
        """The MAC that its kernel has for an address."""
        found: list[dict[str, Any]] = json.loads(self.run(f"ip -j neigh show {ip}"))
        return str(found[0]["lladdr"]) if found and "lladdr" in found[0] else None

    def reaches(self, ip: str, port: int = 80) -> str | None:
        """Who greets at a port, or None when nobody does within half a second."""
        script = (
            "import socket,sys\n"
            "try: print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.5).recv(100).decode())\n"
            "except OSError: print()"
        )
        return self.run(sys.executable, "-c", script, ip, str(port)).strip() or None

    def greet(self, port: int = 80) -> None:
        """Greet with its own name whoever connects to a port, at any address it has."""
        script = (
            "import socket,sys\n"
            "s = socket.create_server(('::', int(sys.argv[2])), family=socket.AF_INET6, dualstack_ipv6=True)\n"
            "print('ready', flush=True)\n"
            "while True:\n  c, _ = s.accept(); c.sendall(sys.argv[1].encode()); c.close()"
        )
        process = self.start(sys.executable, "-c", script, self.name, str(port))
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        self._servers.append(process)

    def end(self) -> None:
        """Switch it off."""
        for process in (*self._servers, self._process):
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


class Segment:
    """The switch and its machines, which are made as they are asked for: ``segment["web"]``."""

    def __init__(self) -> None:
        self.switch = Machine("switch", 254)
        self.switch.run("ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0; ip link set br0 up")
        self._machines: dict[str, Machine] = {}

    def __getitem__(self, name: str) -> Machine:
        if name not in self._machines:
            machine = self._machines[name] = Machine(name, 11 + len(self._machines))
            port = f"p{machine.number}"
            self.switch.run(
                f"ip link add {port} type veth peer name eth0 netns {machine.pid} address {machine.mac};"
                f"ip link set {port} master br0 up"
            )
            machine.run(
                "ip link set eth0 addrgenmode none up;"
                f"ip addr add {machine.ipv4}/24 dev eth0; ip -6 addr add {machine.ipv6}/64 dev eth0 nodad"
            )
        return self._machines[name]

    def end(self) -> None:
        """Switch everything off."""
        for machine in (*self._machines.values(), self.switch):
            machine.end()
