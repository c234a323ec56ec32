"""``failover recover`` and ``failover switch``: move a role, after saying what that means."""

from __future__ import annotations

import sys

import click

from failover.cli.client import Client, Json, client, output_option, show_json
from failover.cli.follow import follow
from failover.cli.main import FAILED, OK
from failover.cli.words import coloured


def _show_dry(plan: Json) -> None:
    click.echo(f"{plan['verb']} {plan['role']}: from {plan['old']} to {plan['new']} (plan {plan['plan']})")
    for number, step in enumerate(plan["steps"], start=1):
        click.echo(f"  {number}. {step['title']}")
        for said in (*step["notes"], *step["changes"]):
            click.echo(f"       {said}")
        if step["problem"]:
            click.echo(f"       {coloured('failed')}: {step['problem']}")
        elif not step["changes"]:
            click.echo("       nothing to do")


def _typed_confirmation(plan: Json) -> None:
    """Whoever moves a role types the name of the server that it goes to: the right order for the wrong host is old."""
    _show_dry(plan)
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is at a terminal to confirm this; give --yes")
    answer = click.prompt(f"Type {plan['new']} to go on", default="", show_default=False, err=True)
    if answer != plan["new"]:
        raise click.ClickException(f"{answer!r} is not {plan['new']!r}: nothing was done")


def _move(
    daemon: Client, verb: str, role: str, force: str | None, dry: bool, yes: bool, wait: bool, output: str
) -> int:
    if dry or not yes:
        plan = daemon.post("/runs", verb=verb, role=role, dry=True)
        if dry:
            show_json(plan) if output == "json" else _show_dry(plan)
            return FAILED if any(step["problem"] for step in plan["steps"]) else OK
        _typed_confirmation(plan)
    run = daemon.post("/runs", verb=verb, role=role, force=force)
    if not wait:
        show_json(run) if output == "json" else click.echo(
            f"run {run['number']} is under way: failover runs show {run['number']}"
        )
        return OK
    view, code = follow(daemon, run["number"], quiet=output == "json")
    if output == "json":
        show_json(view)
    return code


_dry = click.option("--dry-run", "dry", is_flag=True, help="Show every change that would be made, and make none.")
_yes = click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
_wait = click.option("--wait/--no-wait", default=True, show_default=True, help="Watch the run until it ends.")


@click.command()
@click.argument("role")
@click.option("--force", metavar="REASON", help="Recover though the daemon sees no failure. The reason is journaled.")
@_dry
@_yes
@_wait
@output_option
@click.pass_context
def recover(ctx: click.Context, role: str, force: str | None, dry: bool, yes: bool, wait: bool, output: str) -> int:
    """Move ROLE to its standby, if the daemon agrees that there is a failure."""
    return _move(client(ctx), "recover", role, force, dry, yes, wait, output)


@click.command()
@click.argument("role")
@_dry
@_yes
@_wait
@output_option
@click.pass_context
def switch(ctx: click.Context, role: str, dry: bool, yes: bool, wait: bool, output: str) -> int:
    """Move ROLE to its standby as planned, both sides healthy. Typed again, it moves back."""
    return _move(client(ctx), "switch", role, None, dry, yes, wait, output)
