"""What people tell the daemon from day to day: acknowledge, maintain, switch automation, test, reload."""

from __future__ import annotations

import click

from failover.cli.client import client, output_option, show_json, why_option
from failover.cli.main import FAILED, OK
from failover.cli.words import coloured, local


@click.command()
@click.argument("plan")
@why_option
@click.pass_context
def ack(ctx: click.Context, plan: str, why: str) -> None:
    """Acknowledge what PLAN did last: it may act by itself again."""
    answer = client(ctx).post(f"/plans/{plan}/ack", why=why)
    click.echo(answer["says"])


@click.group()
def maintenance() -> None:
    """A time in which nothing acts by itself; it ends by itself."""


@maintenance.command()
@click.argument("about", default="site")
@click.option("--for", "lasts", required=True, metavar="SPAN", help="How long, as 30m or 2h; at most 7d.")
@why_option
@click.pass_context
def begin(ctx: click.Context, about: str, lasts: str, why: str) -> None:
    """Begin it for ABOUT: a server, a role, or the whole site."""
    answer = client(ctx).post("/maintenance/begin", about=about, lasts=lasts, why=why)
    click.echo(f"maintenance of {about} until {local(answer['until'])}")


@maintenance.command()
@click.argument("about", default="site")
@why_option
@click.pass_context
def end(ctx: click.Context, about: str, why: str) -> None:
    """End it for ABOUT before its time."""
    client(ctx).post("/maintenance/end", about=about, why=why)
    click.echo(f"maintenance of {about} is over")


@click.command()
@click.argument("switch", type=click.Choice(["on", "off"]))
@why_option
@click.pass_context
def automation(ctx: click.Context, switch: str, why: str) -> None:
    """Switch everything automatic on or off. Off, the daemon still watches, alarms and proposes."""
    client(ctx).post("/automation", on=switch == "on", why=why)
    click.echo(f"automation is {switch}")


@click.group()
def notify() -> None:
    """Messages to people."""


@notify.command("test")
@click.argument("channel", required=False)
@output_option
@click.pass_context
def notify_test(ctx: click.Context, channel: str | None, output: str) -> int:
    """Send a test message through CHANNEL, or through all, and show what each answered."""
    answer = client(ctx).post("/notify/test", within_seconds=90, channel=channel)
    if output == "json":
        show_json(answer)
    else:
        for result in answer["channels"]:
            click.echo(f"{result['channel']}: {coloured('ok' if result['sent'] else 'failed')}: {result['answer']}")
    return OK if all(result["sent"] for result in answer["channels"]) else FAILED


@click.command()
@click.pass_context
def reload(ctx: click.Context) -> None:
    """Read the config again. A bad one changes nothing, and its problems are named."""
    answer = client(ctx).post("/reload")
    click.echo(answer["says"])
