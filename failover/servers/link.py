"""What carries a conversation with a helper, and how it says that it's over."""

from __future__ import annotations

from typing import Protocol


class Link(Protocol):
    """A pair of byte streams to a helper, and its stderr. Each of the three is used by one thread."""

    def send(self, data: bytes) -> None:
        """Send all of it; may block, until :meth:`cut`."""
        ...

    def receive(self) -> bytes:
        """Some bytes; blocks until there are any. Empty at the end."""
        ...

    def receive_errors(self) -> bytes:
        """The same for stderr."""
        ...

    def cut(self) -> None:
        """End it from any thread, at once: whatever blocks in another method returns or raises."""
        ...

    def epitaph(self) -> str:
        """How it ended, as far as known: ``exit code 1``."""
        ...


class Broken(Exception):
    """The conversation is over; ``sent`` says whether the request had begun to leave."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
