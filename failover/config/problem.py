"""One thing that is wrong with a config, where it stands, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass

from failover.config.strict_yaml import Document, Path


@dataclass(frozen=True, slots=True)
class Problem:
    """``file:line:column: path: sentence``, as editors and people jump to it."""

    file: str
    line: int
    column: int
    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.path + ': ' if self.path else ''}{self.sentence}"


def shown(path: Path, document: Document) -> str:
    """The path as people read it: ``plans.web.steps.3.from``.

    Items are counted from 1, as runs number their steps; the kind of a step, a key in the file, isn't part of it.
    """
    words: list[str] = []
    value = document.value
    for number, part in enumerate(path):
        inside = value[part] if _has(value, part) else None
        kind = number > 0 and isinstance(path[number - 1], int) and isinstance(value, dict) and len(value) == 1
        single = isinstance(part, int) and not isinstance(value, list)  # one written in place of a list of one
        if not single and not (kind and isinstance(inside, dict)):
            words.append(str(part + 1) if isinstance(part, int) else part)
        value = inside
    return ".".join(words)


def _has(value: object, part: int | str) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)
