"""``failover explain``: why the daemon acted or didn't, decided once more from what it knew."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from failover.cli.client import client, output_option, show_json
from failover.cli.words import local


def _moment(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """A time as typed: ISO 8601; without an offset it is this machine's local time; a bare time is today's."""
    if value is None:
        return None
    today = datetime.now().astimezone().date().isoformat()
    for text in (value, f"{today}T{value}"):
        try:
            return datetime.fromisoformat(text).astimezone(UTC).isoformat()
        except ValueError:
            continue
    raise click.BadParameter(f"{value!r} is not a time; write it as 03:14, or 2026-11-24T03:14:00")


@click.command()
@click.option("--at", callback=_moment, metavar="TIME", help="The decisions that held then, instead of now.")
@output_option
@click.pass_context
def explain(ctx: click.Context, at: str | None, output: str) -> None:
    """Why the daemon acted or didn't."""
    answer = client(ctx).get("/explain", at=at)
    if output == "json":
        show_json(answer)
        return
    for decision in answer["decisions"]:
        click.echo(
            click.style(f"{decision['plan']}: {decision['action']}", bold=True) + f" since {local(decision['at'])}"
        )
        for line in decision["lines"]:
            click.echo(f"  {line}")
    if not answer["decisions"]:
        click.echo("nothing was decided until then")
