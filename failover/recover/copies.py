"""Which copies of the content were found equal to their source, and when."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Checked:
    """At ``at`` the source's content had this digest, and so had the copy."""

    digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """Content with this digest isn't taken, and why."""

    digest: str
    why: str


class Copies:
    """Remembers them for the life of the daemon: a recovery needn't walk a source that was compared just now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checked: dict[tuple[str, str], Checked] = {}
        self._refused: dict[tuple[str, str], Refusal] = {}

    def checked(self, server: str, path: str, digest: str, at: datetime) -> None:
        """The copy at ``path`` on ``server`` equals its source."""
        with self._lock:
            self._checked[server, path] = Checked(digest, at)

    def last(self, server: str, path: str) -> Checked | None:
        """When that was last seen to be so."""
        with self._lock:
            return self._checked.get((server, path))

    def refused(self, server: str, path: str, digest: str, why: str) -> None:
        """The server doesn't take that content of the source, and wouldn't in a recovery either."""
        with self._lock:
            self._refused[server, path] = Refusal(digest, why)

    def refusal(self, server: str, path: str) -> Refusal | None:
        """What the server refused last."""
        with self._lock:
            return self._refused.get((server, path))
