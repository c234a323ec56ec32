"""``failover status``: one screen that says how things stand."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from failover.cli.client import Json, client, output_option, show_json
from failover.cli.main import FAILED, OK
from failover.cli.words import COLOURS, ago, local, span

if TYPE_CHECKING:
    from rich.console import Console

WIDE_COLUMNS = 200
"""Without a terminal nothing is wrapped that fits here: scripts and mails read lines."""


@click.command()
@output_option
@click.option("--no-color", is_flag=True, envvar="NO_COLOR", help="No colours, at a terminal either.")
@click.pass_context
def status(ctx: click.Context, output: str, no_color: bool) -> int:
    """Servers, roles, addresses, checks, incidents and runs. Exit code 1 when an incident is open or it isn't ready."""
    answer = client(ctx).get("/status")
    if output == "json":
        show_json(answer)
    else:
        from rich.console import Console

        width = None if sys.stdout.isatty() else WIDE_COLUMNS
        _show(Console(no_color=no_color or None, width=width, highlight=False, emoji=False, markup=False), answer)
    calm = answer["ready"] and not any(site["incidents"] for site in answer["sites"])
    return OK if calm else FAILED


def _show(console: Console, answer: Json) -> None:
    running = f"failover {answer['version']}, epoch {answer['epoch']}, up since {local(answer['since'])}"
    console.print(running, style="bold")
    for reason in answer["reasons"]:
        console.print(f"not ready: {reason}", style="red")
    for refused in answer["config"]["refused"]:
        console.print(f"config refused, the old one holds: {refused}", style="red")
    for site in answer["sites"]:
        _site(console, site)
    rows = [[c["name"], c["kind"], c["state"], f"{c['waiting']} waiting", c["says"]] for c in answer["channels"]]
    _table(console, "channels", rows, coloured=2)


def _site(console: Console, site: Json) -> None:
    console.print()
    console.print(site["title"], style="bold")
    if not site["automation"]["on"]:
        console.print(
            f"  automation is off since {local(site['automation']['at'])}: {site['automation']['why']}", style="red"
        )
    for window in site["maintenance"]:
        says = f"  maintenance of {window['about']} until {local(window['until'])}: {window['why']}"
        console.print(says, style="yellow")
    _table(
        console,
        "roles",
        ([r["name"], r["holder"], "" if r["holder"] == r["home"] else "not at home", f"standby {r['standby']}",
          _open_move(r["open_move"])] for r in site["roles"]),
    )  # fmt: skip
    _table(
        console,
        "addresses",
        ([a["name"], a["state"], a["ip"], ", ".join(a["held_by"]) or "nobody", a["reason"]] for a in site["addresses"]),
        coloured=1,
    )
    _table(
        console,
        "servers",
        ([s["name"], s["state"], s["address"], s["reason"]] for s in site["servers"]),
        coloured=1,
    )
    _table(
        console,
        "checks",
        ([c["name"], c["standing"], f"for {ago(c['since'])}", span(c["seconds"]), c["reason"]] for c in site["checks"]),
        coloured=1,
    )
    _table(
        console,
        "plans",
        ([p["name"], p["readiness"], _foretold(p), p["mode"], p["action"],
          "; ".join(p["problems"] or p["losses"]) or p["reason"]] for p in site["plans"]),
        coloured=1,
    )  # fmt: skip
    _table(
        console,
        "incidents",
        ([str(i["number"]), i["state"], i["about"], f"for {ago(i['opened_at'])}", i["reason"]]
         for i in site["incidents"]),
        coloured=1,
    )  # fmt: skip
    _table(
        console,
        "runs",
        ([str(r["number"]), r["state"], f"{r['kind']} {r['role']} {r['old']} → {r['new']}",
          f"{ago(r['opened_at'])} ago", r["reason"] or ""] for r in site["runs"]),
        coloured=1,
    )  # fmt: skip


def _open_move(move: Json | None) -> str:
    """Until when a role can go back with one command."""
    return f"can be rolled back to {move['from']} until {local(move['until'])[11:16]}" if move is not None else ""


def _foretold(plan: Json) -> str:
    """How long its recovery would take, and how much would be lost, in one cell."""
    if plan["rto_seconds"] is None or not plan["ready"]:
        return "-"
    lost = f", loses {span(plan['rpo_seconds'])}" if plan["rpo_seconds"] >= 1 else ""
    return f"back in {span(plan['rto_seconds'])}{lost}"


def _table(console: Console, title: str, rows: Iterable[Sequence[str]], *, coloured: int | None = None) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for row in rows:
        cells = [Text(str(cell)) for cell in row]
        if coloured is not None:
            cells[coloured].stylize(COLOURS.get(str(row[coloured]), ""))
        table.add_row("  ", *cells)
    if table.row_count:
        console.print(f"  {title}", style="dim")
        console.print(table)
