"""YAML as the config wants it: YAML 1.2.2's core schema (10.3), no duplicate keys, every position known.

PyYAML reads YAML 1.1, where ``on`` is true, ``12:30:45`` a number and the second of two equal keys wins in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 1_000_000
"""Counted with every alias followed: a small file can name a billion values (CWE-776)."""

Path = tuple[str | int, ...]


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

    def place(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Where a value (or its key) stands; where it doesn't exist, its nearest parent."""
        if key and (*path, KEY) in self.places:
            return self.places[(*path, KEY)]
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


KEY = "\0key"


class _Core(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # the C loader may be missing
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's own way


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*(?:[eE][-+]?[0-9]+)?|(?:0|[1-9][0-9]*)[eE][-+]?[0-9]+)$",
     list("-+0123456789.")),
):  # fmt: skip
    _Core.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)

_SCALARS: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:null": lambda _text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
}


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
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise NotYaml(
            line, column, (), f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    try:
        node = yaml.compose(text, Loader=_Core)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = " ".join(part for part in (error.context, error.problem) if part)
        hint = "; indent with spaces, not with tabs" if "\\t" in said or "'\t'" in said else ""
        raise NotYaml(line, column, (), f"not YAML: {said}{hint}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        raise NotYaml(line, column, (), f"character {error.character:#06x} is not allowed in YAML") from None
    except RecursionError:
        raise NotYaml(1, 1, (), f"it is nested too deeply; a config is at most {MAX_DEPTH} deep") from None
    if node is None:
        raise NotYaml(1, 1, (), "the file is empty")
    reader = _Reader()
    value = reader.value(node, ())
    return Document(value, reader.places, tuple(reader.problems))


class _Reader:
    def __init__(self) -> None:
        self.places: dict[Path, tuple[int, int]] = {}
        self.problems: list[NotYaml] = []
        self.nodes = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.places[path] = (line, column)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise NotYaml(line, column, path, f"it has more than {MAX_NODES} values, its aliases followed")
        if len(path) > MAX_DEPTH:
            raise NotYaml(line, column, path, f"it is nested too deeply; a config is at most {MAX_DEPTH} deep")
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        convert = _SCALARS.get(node.tag)
        if convert is None:
            raise NotYaml(line, column, path, f"the tag {node.tag!r} has no meaning here")
        return convert(node.value)

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
                shown = getattr(key_node, "value", "this")
                shown = shown if isinstance(shown, str) else "a list or mapping"
                sentence = f"the key {shown!r} is not text; put it in quotes"
                self.problems.append(NotYaml(line, column, path, sentence))
                continue
            key = key_node.value
            if key in seen:
                sentence = f"the key {key!r} stands here a second time; the first is in line {seen[key]}"
                self.problems.append(NotYaml(line, column, path, sentence))
                continue
            seen[key] = line
            self.places[(*path, key, KEY)] = (line, column)
            yield key, self.value(value_node, (*path, key))
