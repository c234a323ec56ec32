"""Cut a server off from outside with a command of the monitor's: a power outlet, a switch port, a hypervisor.

A fence counts only when it's *confirmed*: every ``off`` command ended with exit code 0, and, where ``status`` commands
are given, each of them then said "off". A server with two power supplies has two commands of each.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from failover.errors import ChangeFailed, OutcomeUnknown, Refused, Unreachable
from failover.model import Span, Token, format_span
from failover.servers.base import Answer, Progress
from failover.servers.bounded import Ended, NotStarted, TookTooLong, run_bounded
from failover.servers.lines import clean

STATUS_EXITS = (0, 2)
"""Exit codes of a status command that answered; fence-agents say "off" with 2 (fence agent API)."""
STATUS_PAUSE_SECONDS = 0.5
_OFF = re.compile(r"\boff\b", re.IGNORECASE)
_ON = re.compile(r"\bon\b", re.IGNORECASE)

Argv = tuple[str, ...]


class FenceSettings(BaseModel):
    """``{kind: command, off: [lab-pdu, off, web], status: [lab-pdu, status, web]}``; lists of commands as well."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["command"] = "command"
    off: tuple[Argv, ...] = Field(
        min_length=1, description="Cuts the server off; no shell reads it. Exit code 0: done."
    )
    status: tuple[Argv, ...] = Field(
        default=(), description="Says 'on' or 'off' on stdout. Without it the exit code of `off` alone is believed."
    )
    timeout: Span = Field(default=30.0, gt=0, le=600, description="How long all of it may take.")

    @field_validator("off", "status", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and value and all(isinstance(word, str) for word in value):
            return (tuple(value),)
        return value

    @field_validator("off", "status")
    @classmethod
    def _has_words(cls, value: tuple[Argv, ...]) -> tuple[Argv, ...]:
        if any(not argv or not argv[0] for argv in value):
            raise ValueError("a command is a list of words, the program first")
        return value


class CommandFence:
    """The fence of one server: a :class:`~failover.servers.base.Server` named ``fence:NAME`` with the verb ``fence``.

    Args:
        server: the name of the server that it cuts off.
        off: commands that do it, run one after another.
        status: commands that say whether it's off.
        timeout: seconds for all of it, where the caller gives no less.
    """

    def __init__(
        self, server: str, off: Sequence[Sequence[str]], status: Sequence[Sequence[str]] | None = None,
        timeout: float = 30.0,
    ) -> None:  # fmt: skip
        self._server = server
        self._off = [tuple(argv) for argv in off]
        self._status = [tuple(argv) for argv in status or ()]
        self._timeout = timeout
        self._newest: Token | None = None
        self._one_at_a_time = threading.Lock()
        self._ending = threading.Event()

    @classmethod
    def from_settings(cls, server: str, settings: FenceSettings) -> CommandFence:
        """The fence that the config describes."""
        return cls(server, settings.off, settings.status, settings.timeout)

    @property
    def name(self) -> str:
        """``fence:NAME``."""
        return f"fence:{self._server}"

    def ask(self, verb: str, /, *, within_seconds: float = 5.0, **args: Any) -> Answer:
        """``fence`` -> ``{"off": True, False or None, "says": [...]}``; None: it can't tell, or has no status command.

        Raises:
            Unreachable: the status command can't be started. Refused: another verb. OutcomeUnknown: no end in time.
        """
        self._known(verb, args, ())
        return self._look(time.monotonic() + min(within_seconds, self._timeout))

    def change(
        self, verb: str, args: Mapping[str, Any], /, *,
        token: Token, within_seconds: float, progress: Progress | None = None,
    ) -> Answer:  # fmt: skip
        """``fence`` ``{"want": "off"}``: cut the server off, and say so only when it's confirmed.

        Raises:
            Unreachable: the first command can't be started: nothing was done.
            Refused: another verb or wish, or the token is older than one seen.
            ChangeFailed: a command failed, or the status never said "off".
            OutcomeUnknown: no end in time.
        """
        self._known(verb, args, ("want",))
        if args.get("want") != "off":
            raise Refused(self.name, "bad-args", f"a fence can only be asked to be off, not {args.get('want')!r}")
        deadline = time.monotonic() + min(within_seconds, self._timeout)
        if not self._one_at_a_time.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Unreachable(
                self.name, f"another fencing is under way for {format_span(within_seconds)}; nothing was done"
            )
        try:
            if self._newest is not None and token < self._newest:
                raise Refused(self.name, "stale-token", f"token {tuple(token)} is older than {tuple(self._newest)}")
            self._newest = token
            return self._cut_off(deadline, progress)
        finally:
            self._one_at_a_time.release()

    def warm(self) -> bool:
        """Always: each command is started anew."""
        return not self._ending.is_set()

    def close(self) -> None:
        """End what runs."""
        self._ending.set()

    def _cut_off(self, deadline: float, progress: Progress | None) -> Answer:
        says: list[str] = []
        for number, argv in enumerate(self._off):
            if progress is not None:
                progress({"phase": "off", "command": number + 1, "commands": len(self._off)})
            ended = self._run(argv, deadline, begun=number > 0)
            if ended.code != 0:
                raise ChangeFailed(
                    self.name, "command-failed", f"{argv[0]} {ended.sentence()}", {"off": None, "says": says}
                )
            says.append(clean(ended.out, 300))
        if not self._status:
            return {"off": True, "says": says, "confirmed_by": "exit code"}
        while True:
            answer = self._look(deadline)
            if answer["off"]:
                return {**answer, "confirmed_by": "status"}
            if progress is not None:
                progress({"phase": "status", **answer})
            if time.monotonic() + STATUS_PAUSE_SECONDS >= deadline:
                seen = " / ".join(answer["says"]) or "nothing"
                sentence = f"every off command ended well, but the status is not 'off': {seen}"
                raise ChangeFailed(self.name, "not-confirmed", sentence, answer)
            self._ending.wait(STATUS_PAUSE_SECONDS)

    def _look(self, deadline: float) -> Answer:
        if not self._status:
            return {"off": None, "says": []}
        verdicts: list[bool | None] = []
        says: list[str] = []
        for argv in self._status:
            ended = self._run(argv, deadline, begun=False)
            says.append(clean(ended.out, 300))
            verdicts.append(_is_off(ended))
        off = False if False in verdicts else True if all(verdicts) else None
        return {"off": off, "says": says}

    def _run(self, argv: Argv, deadline: float, *, begun: bool) -> Ended:
        try:
            return run_bounded(argv, max(0.0, deadline - time.monotonic()), self._ending)
        except NotStarted as error:
            if begun:
                raise ChangeFailed(self.name, "command-failed", str(error)) from None
            raise Unreachable(self.name, str(error)) from None
        except TookTooLong as error:
            raise OutcomeUnknown(self.name, str(error)) from None

    def _known(self, verb: str, args: Mapping[str, Any], keys: Sequence[str]) -> None:
        if verb != "fence" or set(args) - set(keys):
            raise Refused(self.name, "unknown-verb", f"a fence knows the verb 'fence' only, not {verb!r} {dict(args)}")


def _is_off(ended: Ended) -> bool | None:
    """By the words on stdout; a text with both, or an exit code that means trouble, says nothing."""
    if ended.code not in STATUS_EXITS:
        return None
    off, on = bool(_OFF.search(ended.out)), bool(_ON.search(ended.out))
    return None if off == on else off
