"""What a server is to everybody else: something that can be asked, and something that can be changed.

A request that asks has no effect and may be repeated. A request that changes carries a token and a deadline; after an
:class:`~failover.errors.OutcomeUnknown` the caller looks again before its next move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from failover.model import Token

Answer = dict[str, Any]
Progress = Callable[[Mapping[str, Any]], None]


@runtime_checkable
class Server(Protocol):
    """One managed machine. Thread-safe; every call ends within its time, whatever the network does."""

    @property
    def name(self) -> str:
        """Its name in the config."""
        ...

    def ask(self, verb: str, /, *, within_seconds: float = 5.0, **args: Any) -> Answer:
        """The helper's answer to a question.

        Raises:
            Unreachable: no session could be had, so nothing was asked.
            Refused: the helper won't say, ``kind`` and sentence are its own.
            OutcomeUnknown: asked, and no answer within ``within_seconds``.
        """
        ...

    def change(
        self,
        verb: str,
        args: Mapping[str, Any],
        /,
        *,
        token: Token,
        within_seconds: float,
        progress: Progress | None = None,
    ) -> Answer:
        """Change something; the helper ends it, with its whole process group, at ``within_seconds``.

        Raises:
            Unreachable: not done. Refused: not done. ChangeFailed: begun and failed. OutcomeUnknown: look again.
        """
        ...

    def warm(self) -> bool:
        """Whether a session stands ready, so that the next call costs no handshake."""
        ...

    def close(self) -> None:
        """End the session."""
        ...


Servers = Mapping[str, Server]
