"""The lab's network: who has which address, the switches between the hosts, and what can go wrong on them.

Two segments. The servers' (10.77.0.0/24, fd77::/64) holds monitor, web, WCM and database; visitors sit in another
(10.78.0.0/24, fd78::/64), and `router` forwards between the two. No host has a default route, the switches have no
address: nothing sent in the lab can leave it. Addresses are those of DESIGN.md's example config.
"""

import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import LabError

SERVICE_ADDRESSES = ("10.77.0.100/24", "fd77::100/64")

NUMBERS = {
    "router": 1, "monitor": 10, "web": 11, "web-backup": 12, "wcm": 21, "wcm-backup": 22, "db": 31, "db-backup": 32,
    "client": 10,
}  # fmt: skip
FIRST_EXTRA = 201

SERVERS, CLIENTS = "servers", "clients"
BRIDGE = {SERVERS: "br-servers", CLIENTS: "br-clients"}
PREFIX = {SERVERS: (77, "fd77"), CLIENTS: (78, "fd78")}
LONGEST_NAME = 13  # an interface name has 15 characters (IFNAMSIZ), the switch's port of a host is "p-NAME"


@dataclass(frozen=True)
class Plug:
    """One network card of a host, and the switch port it's plugged into."""

    host: str
    number: int
    segment: str = SERVERS
    interface: str = "eth0"

    @property
    def port(self) -> str:
        """The name of the switch's end."""
        return f"{'p' if self.interface == 'eth0' else 'q'}-{self.host}"

    @property
    def bridge(self) -> str:
        """The switch."""
        return BRIDGE[self.segment]

    @property
    def mac(self) -> str:
        """The card's hardware address; it tells segment and number."""
        return f"02:00:0a:{PREFIX[self.segment][0]:02x}:00:{self.number:02x}"

    @property
    def ipv4(self) -> str:
        """The host's own address."""
        return f"10.{PREFIX[self.segment][0]}.0.{self.number}"

    @property
    def ipv6(self) -> str:
        """The host's own address, with the same digits at its end."""
        return f"{PREFIX[self.segment][1]}::{self.number}"

    @property
    def other_segment(self) -> str:
        """The segment that's reached by the router."""
        return CLIENTS if self.segment == SERVERS else SERVERS

    def addressed(self) -> list[str]:
        """Commands for ip(8), in the host's network namespace: bring the card up, with addresses and routes."""
        lines = [
            # A link-local address without duplicate detection: its first second would delay every test's first packet.
            f"ip link set {self.interface} addrgenmode none up",
            f"ip -6 addr add fe80::{self.number}/64 dev {self.interface} nodad",
            f"ip addr add {self.ipv4}/24 dev {self.interface}",
            f"ip -6 addr add {self.ipv6}/64 dev {self.interface} nodad",
        ]
        if self.host != "router":
            (v4, v6), (here4, here6) = PREFIX[self.other_segment], PREFIX[self.segment]
            lines.append(f"ip route add 10.{v4}.0.0/24 via 10.{here4}.0.1")
            lines.append(f"ip -6 route add {v6}::/64 via {here6}::1")
        return lines


def plugs(names: Iterable[str]) -> dict[str, tuple[Plug, ...]]:
    """The cards of the hosts named; a name that isn't known gets a free number in the servers' segment."""
    plan: dict[str, tuple[Plug, ...]] = {}
    extra = FIRST_EXTRA
    for name in names:
        if len(name) > LONGEST_NAME or not name.replace("-", "").isalnum():
            raise LabError(f"{name!r} is no name for a host: letters, digits and '-', at most {LONGEST_NAME}")
        if name == "router":
            plan[name] = (Plug(name, 1), Plug(name, 1, CLIENTS, "eth1"))
        elif name == "client":
            plan[name] = (Plug(name, NUMBERS[name], CLIENTS),)
        elif name in NUMBERS:
            plan[name] = (Plug(name, NUMBERS[name]),)
        else:
            plan[name] = (Plug(name, extra),)
            extra += 1
    return plan


@dataclass(eq=False)
class Fault:
    """Something wrong with the network, until it is healed: by `heal`, or at the end of its ``with`` block."""

    switch: "Switch"
    sentence: str
    rules: tuple[str, ...] = ()
    unplugged: tuple[str, ...] = ()
    healed: bool = False

    def heal(self) -> None:
        """Make it good again; asking twice is harmless."""
        if not self.healed:
            self.healed = True
            self.switch.remove(self)

    def __enter__(self) -> "Fault":
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()

    def __str__(self) -> str:
        return self.sentence


@dataclass
class Switch:
    """The lab's switches, with a way to spoil what they carry. `inside` is the process id of the lab's PID 1."""

    inside: int
    toolbox: Path
    faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def build(self) -> None:
        """Make the two switches, and a listening port for the oracle."""
        bridge = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        self.run(
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
            "ip link set lo up",
            *(f"ip link add {name} {bridge}; ip link set {name} up" for name in BRIDGE.values()),
            f"ip link add p-oracle type veth peer name oracle; ip link set p-oracle master {BRIDGE[SERVERS]} up",
            "ip link set oracle up",
        )

    def run(self, *lines: str) -> None:
        """Run shell lines in the switches' network namespace, with the machine's own tools."""
        _checked(["nsenter", "-t", str(self.inside), "-n", "-m", "--wdns=/", "sh", "-ec", "\n".join(lines)])

    def ports(self) -> set[str]:
        """Interfaces in the switches' namespace now. The port of a host without power isn't among them."""
        lines = Path(f"/proc/{self.inside}/net/dev").read_text().splitlines()[2:]
        return {line.split(":")[0].strip() for line in lines}

    def unplug(self, *cards: Plug) -> Fault:
        """Take the cards' cables out of the switch."""
        return self._add(Fault(self, f"unplugged: {_names(cards)}", unplugged=tuple(card.port for card in cards)))

    def drop(self, sentence: str, *matches: str, share: float = 1.0) -> Fault:
        """Drop a share of the frames that match (nft(8) expressions, in the bridge family)."""
        if not 0 < share <= 1:
            raise LabError(f"a share of {share} can't be dropped: it must be above 0 and at most 1")
        dice = "" if share == 1 else f"numgen random mod 10000 < {round(share * 10000)} "
        return self._add(Fault(self, sentence, rules=tuple(f"{match} {dice}drop" for match in matches)))

    def remove(self, fault: Fault) -> None:
        """Heal one fault; a card that another fault keeps unplugged stays so."""
        with self._lock:
            self.faults.remove(fault)
            still = {port for other in self.faults for port in other.unplugged}
            self._links([port for port in fault.unplugged if port not in still], "up")
            if fault.rules:
                self._load_rules()

    def replug(self, cards: Iterable[Plug]) -> list[str]:
        """Commands that bring new ports of a booting host into the state that the faults ask for."""
        pulled = {port for fault in self.faults for port in fault.unplugged}
        return [f"ip link set {card.port} down" for card in cards if card.port in pulled]

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self.faults.append(fault)
            self._links(fault.unplugged, "down")
            if fault.rules:
                self._load_rules()
        return fault

    def _links(self, ports: Iterable[str], state: str) -> None:
        there = self.ports()
        if lines := [f"ip link set {port} {state}" for port in ports if port in there]:
            self.run(*lines)

    def _load_rules(self) -> None:
        """Replace the whole table in one transaction: no frame sees half of a change."""
        body = "\n".join(f"    {rule}" for fault in self.faults for rule in fault.rules)
        table = (
            "table bridge faults\ndelete table bridge faults\ntable bridge faults {\n"
            f"  chain forward {{\n    type filter hook forward priority 0\n{body}\n  }}\n}}\n"
        )
        inside = ["nsenter", "-t", str(self.inside), "-n", "-m", "--wdns=/"]
        _checked([*inside, "chroot", str(self.toolbox), "nft", "-f", "-"], table)


def names_on_wire(plan: dict[str, tuple[Plug, ...]]) -> dict[str, str]:
    """Host name by hardware address."""
    return {card.mac: name for name, cards in plan.items() for card in cards}


def _names(cards: Iterable[Plug]) -> str:
    return ", ".join(card.host for card in cards)


def _checked(command: list[str], stdin: str | None = None) -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise LabError(f"the switch refused: {done.stderr.strip() or done.stdout.strip()} ({command[-1]!r})")


def hosts_file(plan: dict[str, tuple[Plug, ...]]) -> Iterator[str]:
    """Lines of /etc/hosts: the same on every host."""
    yield "127.0.0.1 localhost"
    yield "::1 localhost ip6-localhost"
    for name, cards in plan.items():
        yield f"{cards[0].ipv4} {name}"
        yield f"{cards[0].ipv6} {name}"
    for address in SERVICE_ADDRESSES:
        yield f"{address.partition('/')[0]} www"
