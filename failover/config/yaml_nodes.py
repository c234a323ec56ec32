"""From the YAML parser's events to nodes: PyYAML's own composer, written in C, ends the whole process on a hundred
thousand nested brackets, so the nodes are put together here, without recursion and within bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MAX_DEPTH = 40
MAX_NODES = 400_000
"""Counted with every alias followed: a small file can name a billion values (CWE-776)."""

Path = tuple[str | int, ...]
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


@dataclass(slots=True)
class Node:
    """A value as the parser gave it; an alias is the same node at a second place."""

    line: int
    column: int
    scalar: Any = None
    pairs: list[tuple[Node, Node]] | None = None
    items: list[Node] | None = None
    quoted: bool = False
    size: int = 1
    height: int = 1


def compose(text: str) -> Node:
    """The one document of ``text``.

    Raises:
        NotYaml: it is none, more than one, too much, or has what a config can't use.
        MarkedYAMLError: it isn't YAML.
    """
    return _Composer(yaml.parse(text, Loader=_PARSER)).document()


class _Composer:
    """From events to nodes, without recursion, within its bounds."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, Node] = {}
        self._open: list[tuple[Node, str | None, list[Node]]] = []

    def document(self) -> Node:
        """The one document of the stream."""
        root: Node | None = None
        documents = 0
        for event in self._events:
            mark = event.start_mark
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise NotYaml(mark.line + 1, 1, (), "a second document begins here; a config is one document")
            elif isinstance(event, yaml.NodeEvent):
                root = self._begin(event, Node(mark.line + 1, mark.column + 1)) or root
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                root = self._end() or root
        if root is None or (root.scalar is None and root.pairs is None and root.items is None):
            raise NotYaml(1, 1, (), "the file is empty")
        return root

    def _begin(self, event: Any, node: Node) -> Node | None:
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

    def _end(self) -> Node | None:
        node, anchor, children = self._open.pop()
        if node.pairs is None:
            node.items = children
        else:
            node.pairs = list(zip(children[::2], children[1::2], strict=True))
        return self._put(node, anchor)

    def _put(self, node: Node, anchor: str | None) -> Node | None:
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
