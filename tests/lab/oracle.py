"""Who held an address, and who answered for it, to the millisecond. It judges; it never touches what it watches.

In every host's network a watcher listens to the kernel's own announcements of addresses gained and lost; a host that
loses power loses its watcher at that instant. On the servers' switch another one asks every 50 ms who has the address.
"""

import itertools
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .commands import beside
from .errors import LabError
from .lab import Lab
from .lines import Line, Lines
from .machine import Machine
from .net import SERVICE_ADDRESSES, names_on_wire

PROGRAMS = Path(__file__).with_name("programs")
ASK_SECONDS = 0.05
ON_ITS_WAY_SECONDS = 0.2
"""What the kernel told last has come through a program and a pipe by then, on a busy machine too."""


@dataclass(frozen=True)
class Held:
    """A host had an address from ``start`` to ``end`` (seconds since 1970; ``None``: it has it still)."""

    host: str
    address: str
    start: float
    end: float | None

    @property
    def seconds(self) -> float:
        """How long."""
        return (self.end or time.time()) - self.start

    def overlap(self, other: "Held") -> float:
        """For how many seconds both were so."""
        now = time.time()
        return max(0.0, min(self.end or now, other.end or now) - max(self.start, other.start))


@dataclass(frozen=True)
class Answer:
    """A host answered, on the wire, for an address, when the oracle asked for the ``round``-th time."""

    at: float
    round: int
    address: str
    host: str


class Oracle:
    """Watches addresses from the start of its ``with`` block to its end; what it saw can be asked for at any time.

    Args:
        lab: a lab that is up.
        addresses: what to watch, with or without prefix length.
    """

    def __init__(self, lab: Lab, addresses: Iterable[str] = SERVICE_ADDRESSES) -> None:
        self._lab = lab
        self._addresses = [address.partition("/")[0] for address in addresses]
        self._hosts = names_on_wire(lab.plan)
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], float] = {}
        self._closed: list[Held] = []
        self._answers: list[Answer] = []
        self._lines: list[Lines] = []
        self._lost: list[str] = []

    def __enter__(self) -> "Oracle":
        for host in self._lab.hosts.values():
            host.listeners.append(self._power)
        self._lab.each(lambda host: self._watch(host, None) if host.on else None)
        asking = ["oracle", str(ASK_SECONDS), *self._addresses]
        switch = beside(self._lab.switch.inside, PROGRAMS / "who_answers.py", *asking)
        self._lines.append(Lines(switch, self._take_answer))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop watching. What is held now counts as held until now."""
        for host in self._lab.hosts.values():
            if self._power in host.listeners:
                host.listeners.remove(self._power)
        if self._lines:
            time.sleep(ON_ITS_WAY_SECONDS)
        for lines in self._lines:
            lines.stop()
        self._lines.clear()

    def held(self, address: str) -> list[Held]:
        """Every span in which a host had the address, by its start."""
        if self._lost:
            raise LabError(f"the oracle is blind: the kernel dropped news of {', '.join(self._lost)}")
        with self._lock:
            still = [Held(host, what, start, None) for (host, what), start in self._open.items()]
            spans = [span for span in (*self._closed, *still) if span.address == address]
        return sorted(spans, key=lambda span: span.start)

    def holders(self, address: str) -> list[str]:
        """Who has the address now."""
        return [span.host for span in self.held(address) if span.end is None]

    def overlaps(self, address: str) -> list[tuple[Held, Held, float]]:
        """Every pair of hosts that had the address at the same time, and for how many seconds."""
        spans = self.held(address)
        pairs = ((one, other) for n, one in enumerate(spans) for other in spans[n + 1 :] if one.host != other.host)
        return [(one, other, seconds) for one, other in pairs if (seconds := one.overlap(other)) > 0]

    def overlap_seconds(self, address: str) -> float:
        """For how long two hosts had the address, all overlaps together; 0 is the only good answer."""
        return sum(seconds for _, _, seconds in self.overlaps(address))

    def answers(self, address: str) -> list[Answer]:
        """Every answer for the address on the servers' switch, in order; about one each 50 ms and host."""
        with self._lock:
            return sorted((seen for seen in self._answers if seen.address == address), key=lambda seen: seen.at)

    def answering(self, address: str, within_seconds: float = 0.2) -> set[str]:
        """Who answers for the address on the wire these days: in the last so many seconds."""
        since = time.time() - within_seconds
        return {seen.host for seen in self.answers(address) if seen.at >= since}

    def quarrels(self, address: str) -> list[tuple[Answer, Answer]]:
        """Answers of two hosts to the same question."""
        seen = self.answers(address)
        return [
            (one, other)
            for one, other in itertools.pairwise(seen)
            if one.host != other.host and one.round == other.round
        ]

    def check(self) -> None:
        """Raise an `AssertionError` that names every moment at which an address was held, or answered for, twice."""
        faults = []
        for address in self._addresses:
            for one, other, seconds in self.overlaps(address):
                faults.append(f"{one.host} and {other.host} both held {address} for {seconds * 1000:.0f} ms")
            if quarrels := self.quarrels(address):
                first, second = quarrels[0]
                faults.append(f"{first.host} and {second.host} both answered for {address}, {len(quarrels)} times")
        if faults:
            raise AssertionError("; ".join(faults))

    def _power(self, host: Machine, state: str, at: float) -> None:
        if state == "on":
            self._watch(host, at)
        else:
            self._gone(host.name, at)

    def _watch(self, host: Machine, booted: float | None) -> None:
        """Attach to a host. What it has when it has just booted counts from the moment it got power."""
        ready = threading.Event()

        def take(line: Line) -> None:
            if "ready" in line:
                ready.set()
            elif "lost" in line:
                self._lost.append(host.name)
            elif line["address"] in self._addresses:
                start = booted if booted is not None and not ready.is_set() else line["at"]
                self._take_holder(host.name, line["address"], line["held"], start)

        process = host.beside(PROGRAMS / "watch_addresses.py")
        self._lines.append(Lines(process, take, lambda at: self._gone(host.name, at)))
        if not ready.wait(10) and host.on:
            raise LabError(f"the oracle can't see {host.name}'s addresses")

    def _take_holder(self, host: str, address: str, held: bool, at: float) -> None:
        with self._lock:
            if held:
                self._open.setdefault((host, address), at)
            elif (start := self._open.pop((host, address), None)) is not None:
                self._closed.append(Held(host, address, start, at))

    def _gone(self, host: str, at: float) -> None:
        for address in self._addresses:
            self._take_holder(host, address, False, at)

    def _take_answer(self, line: Line) -> None:
        if line["address"] in self._addresses:
            name = self._hosts.get(line["mac"]) or str(line["mac"])
            with self._lock:
                self._answers.append(Answer(line["at"], line["round"], line["address"], name))
