"""``failover runs``, and what people say to a run that stopped or waits."""

from __future__ import annotations

import click

from failover.cli.client import Json, client, output_option, show_json, why_option
from failover.cli.follow import follow
from failover.cli.words import coloured, local, sentence, span


def line(run: Json) -> str:
    """One run in one line."""
    took = f" in {span(run['seconds'])}" if run.get("seconds") is not None else ""
    said = f": {run['reason']}" if run.get("reason") else ""
    moved = f"{run['kind']} {run['role']} {run['old']} → {run['new']}"
    return f"{run['number']:>5}  {local(run['opened_at'])}  {moved}  {coloured(run['state'])}{took}{said}"


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many, newest first.")
@output_option
@click.pass_context
def runs(ctx: click.Context, limit: int, output: str) -> None:
    """What was done: list runs, or show one."""
    if ctx.invoked_subcommand is not None:
        return
    answer = client(ctx).get("/runs", limit=limit)
    if output == "json":
        show_json(answer)
    elif not answer["runs"]:
        click.echo("no run yet")
    else:
        for run in answer["runs"]:
            click.echo(line(run))


@runs.command()
@click.argument("number", type=click.IntRange(1))
@output_option
@click.pass_context
def show(ctx: click.Context, number: int, output: str) -> None:
    """Everything about one run: who or what caused it, its steps, its changes, its words."""
    daemon = client(ctx)
    run = daemon.get(f"/runs/{number}")
    if output == "json":
        show_json(run)
        return
    click.echo(line(run))
    click.echo(f"       caused by {run['by']}: {run['why']}")
    after = 0
    while events := daemon.get("/events", run=number, after=after)["events"]:
        for event in events:
            after = event["seq"]
            if (text := sentence(event)) is not None:
                click.echo(f"{local(event['at'])[11:]}  {text}")
    if run.get("forecast") is not None:
        _show_beside(run["forecast"])


def _show_beside(told: Json) -> None:
    """What was foretold, beside what was measured."""
    lost = f", losing {span(told['rpo_seconds'])}" if told["rpo_seconds"] >= 1 else ""
    click.echo(f"foretold {local(told['foretold_at'])}: back in {span(told['rto_seconds'])}{lost}")
    width = max((len(row["name"]) for row in told["rows"]), default=0)
    click.echo(f"  {'':<{width}}  {'foretold':>10}  {'measured':>10}")
    for row in told["rows"]:
        times = f"{span(row['predicted_seconds']):>10}  {span(row['measured_seconds']):>10}"
        click.echo(f"  {row['name']:<{width}}  {times}")


def _ordered(ctx: click.Context, number: int, order: str, output: str, wait: bool = True, **body: str | int) -> int:
    daemon = client(ctx)
    run = daemon.post(f"/runs/{number}/{order}", within_seconds=60.0, **body)
    code = 0
    if wait:
        run, code = follow(daemon, number, quiet=True)
    show_json(run) if output == "json" else click.echo(line(run))
    return code


@click.command()
@click.argument("number", type=click.IntRange(1))
@why_option
@output_option
@click.pass_context
def resume(ctx: click.Context, number: int, why: str, output: str) -> int:
    """Go on with run NUMBER, which stopped."""
    return _ordered(ctx, number, "resume", output, why=why)


@click.command()
@click.argument("number", type=click.IntRange(1))
@why_option
@output_option
@click.pass_context
def abort(ctx: click.Context, number: int, why: str, output: str) -> int:
    """End run NUMBER; what it changed stays, and the journal says what that is."""
    _ordered(ctx, number, "abort", output, why=why)
    return 0


@click.command("mark-done")
@click.argument("number", type=click.IntRange(1))
@click.argument("step", type=click.IntRange(1))
@why_option
@output_option
@click.pass_context
def mark_done(ctx: click.Context, number: int, step: int, why: str, output: str) -> int:
    """Say that STEP of run NUMBER was done by hand."""
    return _ordered(ctx, number, "mark-done", output, wait=False, step=step, why=why)


@click.command()
@click.argument("number", type=click.IntRange(1))
@click.argument("word")
@why_option
@output_option
@click.pass_context
def confirm(ctx: click.Context, number: int, word: str, why: str, output: str) -> int:
    """Give run NUMBER the WORD that it waits for, in your name. See what it asks with: failover runs show NUMBER."""
    return _ordered(ctx, number, "word", output, word=word, why=why)
