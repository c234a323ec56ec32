"""Lines out of bytes that a stranger sends: bounded, and made fit to be shown."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from pydantic import ValidationError

from failover.servers.hello import Hello

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)|[@-Z\\^_])")
"""ECMA-48 control sequences, and the operating system commands of terminals."""


class BadLine(Exception):
    """The other side breaks the rules in a way that ends the conversation."""


class LineReader:
    """Cuts a stream of bytes into lines, never holding more than one line of ``max_bytes``.

    Args:
        max_bytes: longest line.
        overlong: what a longer one does: ``refuse`` raises :class:`BadLine`, ``cut`` gives its head as a line.
    """

    def __init__(self, max_bytes: int, overlong: Literal["refuse", "cut"] = "refuse") -> None:
        self._max_bytes = max_bytes
        self._overlong = overlong
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that are whole now."""
        *whole, rest = data.split(b"\n")
        for piece in whole:
            yield from self._hold(piece)
            yield b"".join(self._parts)
            self._parts, self._held = [], 0
        yield from self._hold(rest)

    def rest(self) -> Iterator[bytes]:
        """What never got its end of line."""
        if self._held:
            yield b"".join(self._parts)
        self._parts, self._held = [], 0

    def _hold(self, piece: bytes) -> Iterator[bytes]:
        if self._held + len(piece) > self._max_bytes:
            if self._overlong == "refuse":
                raise BadLine(f"it sent a line of more than {self._max_bytes} bytes")
            yield b"".join(self._parts)[: self._max_bytes]
            self._parts, self._held = [], 0
            piece = piece[: self._max_bytes]
        if piece:
            self._parts.append(piece)
            self._held += len(piece)


def greeting(line: bytes) -> Hello | None:
    """The hello in a line, or None: servers print banners, mottos and warnings before it."""
    if b'"hello"' not in line:
        return None
    try:
        said = json.loads(line)
        return Hello.model_validate(said["hello"])
    except (ValueError, RecursionError, TypeError, KeyError, ValidationError):
        return None


def clean(text: str, limit: int) -> str:
    """Text of a server, fit for a terminal and a log: no control characters or escape sequences, cut to ``limit``."""
    text = _ESCAPES.sub("", text[: limit * 8])
    flat = "".join(" " if char in "\t\n\r" else char for char in text[: limit * 4])
    shown = "".join(char for char in flat if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
    shown = shown.strip()
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
