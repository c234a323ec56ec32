"""``failover ready``: would each plan work now, how long would it take, how much would be lost; and who says so."""

from __future__ import annotations

import click

from failover.cli.client import Json, client, output_option, show_json
from failover.cli.main import FAILED, OK
from failover.cli.words import ago, coloured, local, span

SOURCES_SHOWN = 3


@click.command()
@click.argument("plan", required=False)
@output_option
@click.pass_context
def ready(ctx: click.Context, plan: str | None, output: str) -> int:
    """Would each plan, or PLAN, work now? How long would it take, and how much would be lost?

    Exit code 0 when it would, with loss or without; 1 when one would not.
    """
    answer = client(ctx).get("/ready", plan=plan)
    if output == "json":
        show_json(answer)
    else:
        for number, found in enumerate(answer["plans"]):
            if number:
                click.echo()
            _show(found)
        if not answer["plans"]:
            click.echo("there is no plan")
    return OK if answer["plans"] and all(found["ready"] for found in answer["plans"]) else FAILED


def _show(found: Json) -> None:
    moves = f"{found['role']} from {found['holder']} to {found['standby']}" if found["role"] else "moves no role"
    stands = coloured(found["readiness"])
    since = f" for {ago(found['since'])}" if found["since"] else ""
    click.echo(f"{click.style(found['plan'], bold=True)}: {stands}{since}  ({moves}, mode {found['mode']})")
    for problem in sorted(found["problems"], key=lambda one: ("stops", "loss", "hint").index(one["severity"])):
        click.echo(f"  {coloured(problem['severity'])}: {problem['text']}")
    if found["forecast"] is not None:
        _show_forecast(found["forecast"], "" if found["ready"] else "once that is mended, ")
    if found["asked_at"]:
        click.echo(f"  asked {ago(found['asked_at'])} ago")


def _show_forecast(told: Json, when: str) -> None:
    click.echo(f"  {when}back in {span(told['rto_seconds'])}, at worst in {span(told['rto_worst_seconds'])}:")
    width = max((len(part["name"]) for part in told["parts"]), default=0)
    for part in told["parts"]:
        ahead = {True: "done ahead; ", False: "not done ahead; ", None: ""}[part["ahead"]]
        said = _sources(part["sources"])
        times = f"{span(part['seconds']):>10}  {span(part['worst_seconds']):>10}"
        click.echo(f"    {part['name']:<{width}}  {times}  {ahead}{said}")
    for wait in told["waits"]:
        click.echo(f"    and then it waits: {wait}")
    click.echo(f"  loses {_lost(told['rpo_seconds'])}, at worst {_lost(told['rpo_worst_seconds'])}")
    for one in told["data"]:
        moment = f"as of {local(one['as_of'])}" if one["as_of"] else f"at worst as of {local(one['worst_as_of'])}"
        click.echo(f"    {one['what']} {moment} ({one['source']})")


def _lost(seconds: float) -> str:
    return span(seconds) if seconds >= 1 else "nothing"


def _sources(sources: list[Json]) -> str:
    """The newest ones; the JSON has all."""
    shown = [one["text"] for one in sources[-SOURCES_SHOWN:]]
    more = len(sources) - len(shown)
    return "; ".join(shown) + (f"; {more} more" if more else "")
