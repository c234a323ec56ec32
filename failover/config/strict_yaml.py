"""YAML as the config wants it: YAML 1.2.2's core schema (10.3), no duplicate keys, every position known.

PyYAML reads YAML 1.1, where ``on`` is true, ``12:30:45`` a number and the second of two equal keys wins in silence; and
its composer, written in C, ends the whole process on a hundred thousand nested brackets. So only its parser is used,
whose events are put together here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from failover.config.yaml_words import hint, not_yaml

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 400_000
"""Counted with every alias followed: a small file can name a billion values (CWE-776)."""

Path = tuple[str | int, ...]
KEY = "\0key"
_NOT_ALLOWED = re.compile("[^\\t\\n\\r -~\\x85\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""YAML 1.2.2, 5.1: what isn't printable."""
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML may be built without libyaml

_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _text: None),
    (re.compile(r"true|True|TRUE"), lambda _text: True),
    (re.compile(r"false|False|FALSE"), lambda _text: False),
    (re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})"), int),  # 010 stays text: some read it as 8, some as 10
    (re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{0,17})?(?:[eE][-+]?[0-9]{1,2})?"), float),
)
_LIKE_A_NUMBER = frozenset("~nNtTfF-+0123456789")


class NotYaml(Exception):
    """The text can't be read; ``line`` and ``column`` count from 1."""

    def __init__(self, line: int, column: int, path: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line
        self.column = column
        self.path = path
        self.sentence = sentence


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


@dataclass(slots=True)
class _Node:
    """A value as the parser gave it; an alias is the same node at a second place."""

    line: int
    column: int
    scalar: Any = None
    pairs: list[tuple[_Node, _Node]] | None = None
    items: list[_Node] | None = None
    quoted: bool = False
    size: int = 1
    height: int = 1


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
        root = _Composer(yaml.parse(text, Loader=_PARSER)).document()
    except yaml.MarkedYAMLError as error:
        line, column, sentence = not_yaml(error, text)
        raise NotYaml(line, column, (), sentence) from None
    writer = _Writer(text)
    return Document(writer.value(root, ()), writer.places, tuple(writer.problems), frozenset(writer.quoted))


class _Composer:
    """From events to nodes, without recursion, within its bounds."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, _Node] = {}
        self._open: list[tuple[_Node, str | None, list[_Node]]] = []

    def document(self) -> _Node:
        """The one document of the stream."""
        root: _Node | None = None
        documents = 0
        for event in self._events:
            mark = event.start_mark
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise NotYaml(mark.line + 1, 1, (), "a second document begins here; a config is one document")
            elif isinstance(event, yaml.NodeEvent):
                root = self._begin(event, _Node(mark.line + 1, mark.column + 1)) or root
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                root = self._end() or root
        if root is None or (root.scalar is None and root.pairs is None and root.items is None):
            raise NotYaml(1, 1, (), "the file is empty")
        return root

    def _begin(self, event: Any, node: _Node) -> _Node | None:
        if isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            if (known := self._anchors.get(name)) is None:
                inside = any(name == anchor for _, anchor, _ in self._open)
                why = "stands inside of itself" if inside else "has no anchor before it"
                raise NotYaml(node.line, node.column, (), f"the alias *{name} {why}")
            return self._put(known, None)
        if event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            raise NotYaml(node.line, node.column, (), f"the tag {tag} has no meaning here; leave it out")
        if isinstance(event, yaml.ScalarEvent):
            node.quoted = not event.implicit[0]
            node.scalar = event.value if node.quoted else _plain(event.value)
            return self._put(node, event.anchor)
        if len(self._open) >= MAX_DEPTH:
            raise NotYaml(node.line, node.column, (), f"it is nested too deeply; a config is at most {MAX_DEPTH} deep")
        self._open.append((node, event.anchor, []))
        if isinstance(event, yaml.MappingStartEvent):
            node.pairs = []
        return None

    def _end(self) -> _Node | None:
        node, anchor, children = self._open.pop()
        if node.pairs is None:
            node.items = children
        else:
            node.pairs = list(zip(children[::2], children[1::2], strict=True))
        return self._put(node, anchor)

    def _put(self, node: _Node, anchor: str | None) -> _Node | None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            return node
        parent, _, children = self._open[-1]
        children.append(node)
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if parent.size > MAX_NODES:
            sentence = f"it has more than {MAX_NODES} values, its aliases followed"
            raise NotYaml(parent.line, parent.column, (), sentence)
        if len(self._open) + node.height > MAX_DEPTH + 1:
            raise NotYaml(node.line, node.column, (), f"it is nested too deeply; a config is at most {MAX_DEPTH} deep")
        return None


def _plain(text: str) -> Any:
    if not text or text[0] in _LIKE_A_NUMBER:
        for pattern, convert in _PLAIN:
            if pattern.fullmatch(text):
                return convert(text)
    return text


class _Writer:
    """From nodes to plain values, with every place noted."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.places: dict[Path, tuple[int, int]] = {}
        self.problems: list[NotYaml] = []
        self.quoted: set[Path] = set()

    def value(self, node: _Node, path: Path) -> Any:
        self.places[path] = (node.line, node.column)
        if node.pairs is not None:
            return dict(self._pairs(node.pairs, path))
        if node.items is not None:
            return [self.value(item, (*path, number)) for number, item in enumerate(node.items)]
        if node.quoted:
            self.quoted.add(path)
        return node.scalar

    def _pairs(self, pairs: list[tuple[_Node, _Node]], path: Path) -> Iterator[tuple[str, Any]]:
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
