"""A table of figures, for the terminal and for the documentation, from one description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass
class Sheet:
    """Rows of text under a title; the first column is words, the others are figures."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """One row more."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: {len(cells)} cells for {len(self.columns)} columns: {cells}")
        self.rows.append(list(cells))

    def show(self, console: Console) -> None:
        """On the terminal."""
        table = Table(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for note in self.notes:
            console.print(f"  {note}", highlight=False)

    def markdown(self) -> str:
        """For the documentation."""
        lines = [f"### {self.title}", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("|" + "|".join("---:" if number else "---" for number in range(len(self.columns))) + "|")
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        lines += ["", *(f"{note}\n" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"


def shown(figure: dict[str, Any], unit: str = "s") -> str:
    """``0.53 s (0.31–1.09)``: median, least and most."""
    if figure["median"] is None:
        return "–"
    digits = 3 if figure["median"] < 10 else 1
    return f"{figure['median']:.{digits}f} {unit} ({figure['min']:.{digits}f}–{figure['max']:.{digits}f})"


def times(value: float | None) -> str:
    """``0.94×``."""
    return "–" if value is None else f"{value:.2f}×"


def judged(value: float | None, aim: float) -> str:
    """Whether a figure keeps within its aim."""
    return "–" if value is None else ("met" if value <= aim else "**missed**")
