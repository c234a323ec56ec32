"""``failover audit``: the journal's chain, computed again."""

from __future__ import annotations

from pathlib import Path

import click

from failover.cli.client import DaemonUnreachable, Json, client, output_option, show_json
from failover.cli.main import FAILED, OK

DEFAULT_JOURNAL = Path("/var/lib/failover/journal.db")


@click.group()
def audit() -> None:
    """Prove that the journal wasn't changed."""


@audit.command()
@output_option
@click.pass_context
def head(ctx: click.Context, output: str) -> None:
    """Number and hash of the newest line: written down elsewhere, they prove later that none was cut off."""
    answer = client(ctx).get("/audit/head")
    show_json(answer) if output == "json" else click.echo(f"{answer['seq']}:{answer['hash']}")


def _head(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, str] | None:
    if value is None:
        return None
    seq, colon, digest = value.partition(":")
    if not (colon and seq.isdigit() and digest):
        raise click.BadParameter("write it as `failover audit head` does: NUMBER:HASH")
    return int(seq), digest


@audit.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--head", "known", callback=_head, metavar="NUMBER:HASH", help="A line that the journal must still hold.")
@output_option
@click.pass_context
def verify(ctx: click.Context, path: Path | None, known: tuple[int, str] | None, output: str) -> int:
    """Compute the chain of the journal at PATH again; without PATH the daemon's own. Exit code 1 when it's broken."""
    answer = None
    if path is None and known is None:
        try:
            answer = client(ctx).post("/audit/verify", within_seconds=600)
        except DaemonUnreachable:
            path = DEFAULT_JOURNAL
    if answer is None:
        answer = _read(path or DEFAULT_JOURNAL, known)
    show_json(answer) if output == "json" else click.echo(answer["says"])
    return OK if answer["sound"] else FAILED


def _read(path: Path, known: tuple[int, str] | None) -> Json:
    from failover.journal.verify import verify as compute

    found = compute(path, head=known)
    return {
        "sound": found.sound,
        "events": found.events,
        "seq": found.head[0],
        "hash": found.head[1],
        "says": str(found),
    }
