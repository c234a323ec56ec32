"""``failover backup``: make, list, read and try backups."""

from __future__ import annotations

import click

from failover.cli.client import Client, Json, client, output_option, show_json
from failover.cli.follow import follow
from failover.cli.main import BUSY, FAILED, OK
from failover.cli.turn import begin
from failover.cli.words import ago, coloured, local, size

TURN_SECONDS = 300.0
wait_option = click.option("--wait/--no-wait", default=True, show_default=True, help="Watch the run until it ends.")
server_option = click.option("--server", metavar="SERVER", help="Where it lies; by default the set's first place.")


@click.group()
def backup() -> None:
    """Make, list, read and try backups. What runs gives way to a recovery, and ends with exit code 75 then."""


def _run(daemon: Client, output: str, wait: bool, **order: str | None) -> int:
    run = begin(daemon, "/backups", TURN_SECONDS, **order)
    if not wait:
        said = f"run {run['number']} is under way: failover runs show {run['number']}"
        show_json(run) if output == "json" else click.echo(said)
        return OK
    view, code = follow(daemon, run["number"], quiet=output == "json")
    if output == "json":
        show_json(view)
    return BUSY if view["state"] == "aborted" else code  # it gave way, or was told to: no failure of the backup


@backup.command()
@click.argument("name", metavar="SET")
@wait_option
@output_option
@click.pass_context
def now(ctx: click.Context, name: str, wait: bool, output: str) -> int:
    """Make a backup of SET now, copy it to its second place, and let old ones go."""
    return _run(client(ctx), output, wait, verb="now", set=name)


@backup.command()
@click.argument("name", metavar="SET")
@click.argument("backup_id", metavar="[ID]", required=False)
@server_option
@wait_option
@output_option
@click.pass_context
def verify(ctx: click.Context, name: str, backup_id: str | None, server: str | None, wait: bool, output: str) -> int:
    """Read a backup of SET to its end: the newest, or the one called ID. Exit code 1 when it is no good."""
    daemon = client(ctx)
    code = _run(daemon, output, wait, verb="verify", set=name, id=backup_id, server=server)
    if not wait or code != OK:
        return code
    (found,) = daemon.get("/backups", set=name)["sets"]
    place = next(one for one in found["places"] if server in (None, one["server"]))
    chosen = next((one for one in place["backups"] if backup_id in (None, one["id"])), None)
    return OK if chosen is not None and chosen["problem"] is None else FAILED


@backup.command()
@click.argument("name", metavar="SET")
@click.argument("backup_id", metavar="[ID]", required=False)
@click.option(
    "--into",
    required=True,
    metavar="SCRATCH",
    help="For files a new folder's name; for a database a name as wcm__20261124t031500.",
)
@server_option
@wait_option
@output_option
@click.pass_context
def restore(
    ctx: click.Context, name: str, backup_id: str | None, into: str, server: str | None, wait: bool, output: str
) -> int:
    """Restore the best backup of SET, or the one called ID, beside what serves, and compare it with its catalogue.

    Nothing that serves is touched. The catalogue then says that the backup was restored.
    """
    return _run(client(ctx), output, wait, verb="restore", set=name, id=backup_id, server=server, into=into)


@backup.command("list")
@click.argument("name", metavar="[SET]", required=False)
@output_option
@click.pass_context
def list_(ctx: click.Context, name: str | None, output: str) -> int:
    """What there is of SET, or of every set, newest first. Exit code 1 when a set has no good one."""
    answer = client(ctx).get("/backups", set=name)
    if output == "json":
        show_json(answer)
    else:
        for number, found in enumerate(answer["sets"]):
            if number:
                click.echo()
            _show(found)
        if not answer["sets"]:
            click.echo("there is no backup set")
    return OK if all(found["best"] for found in answer["sets"]) else FAILED


def _show(found: Json) -> None:
    when = f", made at {' and '.join(found['at'])}" if found["at"] else ", made by other tools"
    best = f"best: {found['best']}" if found["best"] else coloured("missing") + ": no good backup"
    click.echo(f"{click.style(found['name'], bold=True)}: {found['kind']} of {found['role']}{when}; {best}")
    if found["done"] is False:
        click.echo(f"  {coloured('waiting')}: due since {local(found['due_at'])}")
    if found["last_made"] and found["last_made"]["problem"]:
        click.echo(f"  {coloured('failed')}: {found['last_made']['problem']}")
    for place in found["places"]:
        free = f", {size(place['free_bytes'])} free" if place["free_bytes"] is not None else ""
        asked = f"asked {ago(place['asked_at'])} ago" if place["asked_at"] else "not asked yet"
        click.echo(f"  {place['server']}:{found['path']}{free}, {asked}")
        if place["trouble"]:
            click.echo(f"    {coloured('unknown')}: {place['trouble']}")
        width = max((len(one["id"]) for one in place["backups"]), default=0)
        for one in place["backups"]:
            click.echo(f"    {one['id']:<{width}}  {local(one['taken_at'])}  {size(one['bytes']):>9}  {_state(one)}")
    reasons = [one for one in found["passed_over"] if one["id"] != found["best"]]
    for one in reasons:
        click.echo(f"  not used: {one['id']} on {one['server']}: {one['reason']}")


def _state(one: Json) -> str:
    if one["problem"]:
        return f"{coloured('failed')}: {one['problem']}"
    if not one["verified_at"]:
        return f"{coloured('unknown')}: not verified yet"
    restored = f", restored {ago(one['restored_at'])} ago" if one["restored_at"] else ""
    tables = one["tables"]
    rows = f", {sum(tables.values())} rows in {len(tables)} tables" if tables else ""
    return f"{coloured('ok')}, verified {ago(one['verified_at'])} ago{restored}{rows}"
