"""Reads the table of failures from ``docs/failures.md``: what people read there is what the tests hold it to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs/failures.md"
HEAD = ("first", "second", "when", "what happens", "people are told", "lab")
ALONE, AT_ONCE, AFTER = "alone", "at once", "after"
NOTHING_NEW, THE_MOVE = "nothing new", "the move"


@dataclass(frozen=True)
class Row:
    """One failure or two, what comes of the last of them, and what people are told of it."""

    first: str
    second: str
    """Empty where there is only one."""
    when: str
    happens: str
    told: tuple[str, ...]
    """Parts of sentences, ``…`` for what differs from time to time; none where the move is all that is told."""
    lab: bool
    fences: bool
    """Whether every server has a fence."""

    @property
    def name(self) -> str:
        with_it = {AT_ONCE: "and at once", AFTER: "and then"}.get(self.when, "")
        return " ".join(word for word in (self.first, with_it, self.second, "" if self.fences else "unfenced") if word)


def rows() -> list[Row]:
    """Every row of every table of the page, in its order; those under "Without fences" are of a site without."""
    found: list[Row] = []
    fences = True
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            fences = "without fences" not in line.lower()
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if len(cells) != len(HEAD) or tuple(cells) == HEAD or set("".join(cells)) <= set("-: "):
            continue
        first, second, when, happens, told, lab = cells
        sentences = () if told in (NOTHING_NEW, THE_MOVE) else tuple(part.strip() for part in told.split(" · "))
        found.append(Row(first, second, when, happens, sentences, lab == "lab", fences))
    return found


def says(fragment: str, text: str) -> bool:
    """Whether a text says it; ``…`` stands for anything."""
    parts = [re.escape(part.strip()) for part in fragment.split("…")]
    return re.search(".*?".join(parts), text, re.DOTALL) is not None
