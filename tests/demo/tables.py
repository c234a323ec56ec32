"""What is shown at the end: what each failure cost, and where its time went, foretold beside measured."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from failover.model import format_span
from tests.demo.recoveries import Shown


def costs(console: Console, recoveries: Sequence[Shown]) -> None:
    """One row a failure or failback."""
    table = Table(title="what it cost", title_justify="left")
    for column in ("", "moved", "detected", "outage", "lost", "foretold", "measured", ""):
        table.add_column(column, justify="left" if column in ("", "moved") else "right")
    for one in recoveries:
        table.add_row(
            one.what,
            one.moved,
            _span(one.detected_seconds),
            format_span(one.outage_seconds),
            format_span(one.loss_seconds) if one.loss_seconds else "nothing",
            _span(one.foretold_seconds),
            _span(one.measured_seconds),
            one.wrong or "whole",
            style="red" if one.wrong else "",
        )
    console.print(table)


def times(console: Console, recoveries: Sequence[Shown]) -> None:
    """Where the time of each run went."""
    table = Table(title="where the time of each run went", title_justify="left")
    table.add_column("")
    table.add_column("step")
    table.add_column("time", justify="right")
    for one in recoveries:
        for number, (title, seconds) in enumerate(one.steps):
            table.add_row(one.what if number == 0 else "", title, format_span(seconds))
        table.add_row("", "together", format_span(one.run_seconds), style="bold")
        table.add_section()
    console.print(table)


def drawn(console: Console) -> str:
    """What was shown, as a picture that fetches nothing: rich's own asks a server of others for its font."""
    picture = console.export_svg(title="make demo")
    return re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", picture, flags=re.DOTALL)


def _span(seconds: float | None) -> str:
    return "–" if seconds is None else format_span(seconds)
