"""How events are chained: each one's hash covers its every field and the hash of the event before.

The hash is SHA-256 over one line of canonical JSON, ``[seq,at,kind,site,run,by,data,prev]``: no spaces, keys sorted,
UTF-8. ``data`` stands in the line exactly as it is stored, so a change of a single byte of it shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from failover.model import Event

GENESIS = "0" * 64
"""What stands before the first event."""

COLUMNS = "seq, at, kind, site, run, by, data, prev, hash"


def canonical(value: object) -> str:
    """The one way in which a value is written down.

    Lone surrogates, as bytes that aren't UTF-8 leave them in text, become JSON escapes, so that nothing that a server
    says makes an event unwritable.

    Raises:
        TypeError, ValueError: the value isn't JSON (NaN is not).
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain(text: str) -> str:
    """``text`` as UTF-8 can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_time(at: datetime) -> str:
    """UTC with microseconds, always of one length, so that the order of the texts is the order of the times."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(text: str) -> datetime:
    """The inverse of :func:`write_time`."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Row:
    """An event as it lies in the file."""

    seq: int
    at: str
    kind: str
    site: str
    run: int | None
    by: str
    data: str
    prev: str
    hash: str = ""

    def computed(self) -> str:
        """The hash that this row should have."""
        head = canonical([self.seq, self.at, self.kind, self.site, self.run, self.by])
        line = f"{head[:-1]},{self.data},{canonical(self.prev)}]"
        return hashlib.sha256(line.encode("utf-8", "surrogatepass")).hexdigest()

    def sealed(self) -> Row:
        """The row with its hash."""
        return replace(self, hash=self.computed())

    def event(self) -> Event:
        """The row as everybody else sees it."""
        data: Mapping[str, Any] = json.loads(self.data)
        at = read_time(self.at)
        return Event(self.seq, at, self.kind, self.site, self.run, self.by, data, self.prev, self.hash)
