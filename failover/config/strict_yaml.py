"""YAML as the config wants it: YAML 1.2.2's core schema (10.3), no duplicate keys, every position known.

PyYAML reads YAML 1.1, where ``on`` is true, ``12:30:45`` a number and the second of two equal keys wins in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from failover.config.yaml_nodes import MAX_DEPTH, MAX_NODES, Node, NotYaml, Path, compose
from failover.config.yaml_words import hint, not_yaml

MAX_BYTES = 8 * 1024 * 1024
KEY = "\0key"
_NOT_ALLOWED = re.compile("[^\\t\\n\\r -~\\x85\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""YAML 1.2.2, 5.1: what isn't printable."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document's value, and where each part of it stands."""

    value: Any
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Line and column, from 1, of each value; of a key under its path with ``KEY`` at the end."""
    problems: tuple[NotYaml, ...] = ()
    """Duplicate keys and keys that aren't text: everything that doesn't keep the rest from being read."""
    quoted: frozenset[Path] = frozenset()
    """Texts in quotes, whose own first character is one column further on."""

    def at(self, path: Path, otherwise: Any) -> Any:
        """What the file has there, or ``otherwise``."""
        value = self.value
        for part in path:
            try:
                value = value[part]
            except (LookupError, TypeError):
                return otherwise
        return value

    def place(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Where a value (or its key) stands; where it doesn't exist, its nearest parent."""
        if key and (*path, KEY) in self.places:
            return self.places[(*path, KEY)]
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def read(data: bytes) -> Document:
    """The document in ``data``.

    Raises:
        NotYaml: it can't be read at all.
    """
    if len(data) > MAX_BYTES:
        raise NotYaml(1, 1, (), f"the file has {len(data)} bytes; a config has at most {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8", "replace")) + 1
        sentence = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise NotYaml(line, column, (), sentence) from None
    if found := _NOT_ALLOWED.search(text):
        before = text[: found.start()]
        line, column = before.count("\n") + 1, found.start() - before.rfind("\n")
        raise NotYaml(line, column, (), f"not YAML: the control character U+{ord(found[0]):04X} is not allowed")
    try:
        root = compose(text)
    except yaml.MarkedYAMLError as error:
        line, column, sentence = not_yaml(error, text)
        raise NotYaml(line, column, (), sentence) from None
    writer = _Writer(text)
    return Document(writer.value(root, ()), writer.places, tuple(writer.problems), frozenset(writer.quoted))


class _Writer:
    """From nodes to plain values, with every place noted."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.places: dict[Path, tuple[int, int]] = {}
        self.problems: list[NotYaml] = []
        self.quoted: set[Path] = set()

    def value(self, node: Node, path: Path) -> Any:
        self.places[path] = (node.line, node.column)
        if node.pairs is not None:
            return dict(self._pairs(node.pairs, path))
        if node.items is not None:
            return [self.value(item, (*path, number)) for number, item in enumerate(node.items)]
        if node.quoted:
            self.quoted.add(path)
        return node.scalar

    def _pairs(self, pairs: list[tuple[Node, Node]], path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key, value in pairs:
            if not isinstance(key.scalar, str):
                compound = key.pairs is not None or key.items is not None
                shown = "a list or mapping" if compound else _as_written(key.scalar)
                advice = "a key is a word" if compound else "put it in quotes"
                sentence = f"the key {shown} is not text; {advice}" + hint(self._text, key.line)
            elif key.scalar == "<<":
                sentence = "merge keys (<<) are not part of YAML 1.2; write the keys out"
            elif key.scalar in seen:
                sentence = f"the key {key.scalar!r} stands here a second time; the first is in line {seen[key.scalar]}"
            else:
                seen[key.scalar] = key.line
                self.places[(*path, key.scalar, KEY)] = (key.line, key.column)
                yield key.scalar, self.value(value, (*path, key.scalar))
                continue
            self.problems.append(NotYaml(key.line, key.column, path, sentence))


def _as_written(scalar: Any) -> str:
    return "null" if scalar is None else str(scalar).lower()


__all__ = ["KEY", "MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "Document", "NotYaml", "Path", "read"]
