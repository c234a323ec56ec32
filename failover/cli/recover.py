"""``failover recover``, ``switch`` and ``rollback``: move a role, after saying what that means; and ``commit``."""

from __future__ import annotations

import sys
from typing import Any

import click

from failover.cli.client import Client, Json, client, output_option, show_json
from failover.cli.follow import follow
from failover.cli.main import FAILED, OK
from failover.cli.turn import begin
from failover.cli.words import coloured, local

TURN_SECONDS = 60.0
"""For what the daemon does by itself to be over: starting a parked unit again takes seconds."""
DRY_SECONDS = 600.0
"""Rows are counted and files compared before a role goes back."""


def _show_dry(plan: Json) -> None:
    click.echo(f"{plan['verb']} {plan['role']}: from {plan['old']} to {plan['new']} (plan {plan['plan']})")
    if plan["left_at"] is not None:
        click.echo(f"  changed since {plan['role']} left {plan['new']} at {local(plan['left_at'])}:")
        told = [one for step in plan["steps"] for one in step["differences"]]
        for one in told:
            click.echo(f"       {one['what']}: {one['says']}")
        if not told:
            click.echo("       nothing that this plan brings there")
    for number, step in enumerate(plan["steps"], start=1):
        click.echo(f"  {number}. {step['title']}")
        for said in (*step["notes"], *step["changes"]):
            click.echo(f"       {said}")
        if step["problem"]:
            click.echo(f"       {coloured('waiting' if step['word'] else 'failed')}: {step['problem']}")
        elif not step["changes"]:
            click.echo("       nothing to do")


def _loses(plan: Json) -> bool:
    """Whether a person has to accept that something is lost."""
    return plan["verb"] == "rollback" and any((step["word"] or "").startswith("loss:") for step in plan["steps"])


def _typed_confirmation(plan: Json) -> None:
    """Whoever moves a role types the name of the server that it goes to: the right order for the wrong host is old."""
    _show_dry(plan)
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is at a terminal to confirm this; give --yes")
    accepts = ", which accepts the loss," if _loses(plan) else ""
    answer = click.prompt(f"Type {plan['new']}{accepts} to go on", default="", show_default=False, err=True)
    if answer != plan["new"]:
        raise click.ClickException(f"{answer!r} is not {plan['new']!r}: nothing was done")


def _move(daemon: Client, verb: str, role: str, dry: bool, yes: bool, wait: bool, output: str, **more: Any) -> int:
    if dry or not yes or verb == "rollback":
        plan = daemon.post("/runs", within_seconds=DRY_SECONDS, verb=verb, role=role, dry=True)
        if dry:
            show_json(plan) if output == "json" else _show_dry(plan)
            return FAILED if any(step["problem"] for step in plan["steps"]) else OK
        if not yes:
            _typed_confirmation(plan)
            more |= {"accept_loss": True} if _loses(plan) else {}
        elif _loses(plan) and not more.get("accept_loss"):
            _show_dry(plan)
            raise click.ClickException("something would be lost: give --accept-loss, or type the confirmation")
    run = begin(daemon, "/runs", TURN_SECONDS, verb=verb, role=role, **more)
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
    return _move(client(ctx), "recover", role, dry, yes, wait, output, force=force)


@click.command()
@click.argument("role")
@_dry
@_yes
@_wait
@output_option
@click.pass_context
def switch(ctx: click.Context, role: str, dry: bool, yes: bool, wait: bool, output: str) -> int:
    """Move ROLE to its standby as planned, both sides healthy. Typed again, it moves back, with what changed since."""
    return _move(client(ctx), "switch", role, dry, yes, wait, output)


@click.command()
@click.argument("role")
@click.option("--why", metavar="TEXT", help="The reason, for the journal.")
@click.option("--accept-loss", is_flag=True, help="What was saved since may be lost, if its database can't be read.")
@_dry
@_yes
@_wait
@output_option
@click.pass_context
def rollback(
    ctx: click.Context, role: str, why: str | None, accept_loss: bool, dry: bool, yes: bool, wait: bool, output: str
) -> int:
    """Move ROLE back to where it was before its last move, until that is committed. The new holder may be sick."""
    if why is None and not dry:
        raise click.UsageError("a rollback needs its reason: give --why")
    more = {"accept_loss": True} if accept_loss else {}
    return _move(client(ctx), "rollback", role, dry, yes, wait, output, why=why, **more)


@click.command()
@click.argument("role")
@click.option("--why", metavar="TEXT", default="it works", show_default=True, help="The reason, for the journal.")
@output_option
@click.pass_context
def commit(ctx: click.Context, role: str, why: str, output: str) -> None:
    """Let ROLE stay where it was moved to: its last move can't be rolled back any more."""
    answer = client(ctx).post(f"/roles/{role}/commit", why=why)
    show_json(answer) if output == "json" else click.echo(answer["says"])
