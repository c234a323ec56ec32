"""What people type. Sub-commands are imported when they are used, so that ``failover --help`` answers at once."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NamedTuple

import click

from failover import __version__
from failover.errors import ConfigError, FailoverError, JournalError, NotAllowed

OK, FAILED, USAGE, UNREACHABLE, BUG, CANT_WRITE, IO_ERROR, BUSY, NOT_ALLOWED, BAD_CONFIG = (
    0,
    1,
    2,
    69,
    70,
    73,
    74,
    75,
    77,
    78,
)
"""Exit codes, after sysexits.h."""


class Entry(NamedTuple):
    """A sub-command that isn't imported yet."""

    place: str
    """``module:name``."""
    says: str
    """What ``--help`` of the group shows for it."""


COMMANDS: dict[str, Entry] = {
    "status": Entry(
        "failover.cli.status:status", "Servers, roles, addresses, checks, incidents and runs on one screen."
    ),
    "ready": Entry(
        "failover.cli.ready:ready", "Whether each plan would work now, how long it would take, what would be lost."
    ),
    "recover": Entry("failover.cli.recover:recover", "Move a failed role to its standby, if there is a failure."),
    "switch": Entry("failover.cli.recover:switch", "Move a role as planned, both sides healthy; also the way back."),
    "rollback": Entry("failover.cli.recover:rollback", "Move a role back where it was, until that is committed."),
    "commit": Entry("failover.cli.recover:commit", "Let a role stay where it was moved to."),
    "runs": Entry("failover.cli.runs:runs", "What was done: list runs, or show one."),
    "resume": Entry("failover.cli.runs:resume", "Go on with a run that stopped."),
    "abort": Entry("failover.cli.runs:abort", "End a run."),
    "mark-done": Entry("failover.cli.runs:mark_done", "Say that a step was done by hand."),
    "confirm": Entry("failover.cli.runs:confirm", "Give the word that a run waits for."),
    "backup": Entry("failover.cli.backup:backup", "Make, list, read and try backups."),
    "explain": Entry("failover.cli.explain:explain", "Why the daemon acted or didn't."),
    "ack": Entry("failover.cli.upkeep:ack", "Acknowledge a plan's last run: it may act by itself again."),
    "maintenance": Entry("failover.cli.upkeep:maintenance", "Begin or end a time in which nothing acts by itself."),
    "automation": Entry("failover.cli.upkeep:automation", "Switch everything automatic on or off."),
    "notify": Entry("failover.cli.upkeep:notify", "Send a test message through the channels."),
    "reload": Entry("failover.cli.upkeep:reload", "Read the config again; a bad one changes nothing."),
    "audit": Entry("failover.cli.audit:audit", "Prove that the journal wasn't changed."),
    "check-config": Entry("failover.cli.check_config:check_config", "Name every problem of a config."),
    "schema": Entry("failover.cli.schema:schema", "The config's JSON Schema, for editors."),
    "init": Entry("failover.cli.init:init", "Write a first config."),
    "enroll": Entry("failover.cli.enroll:enroll", "Put a server under failover's care, or check that it is."),
    "daemon": Entry("failover.cli.daemon:daemon", "Watch and recover; what systemd starts."),
}


class LazyGroup(click.Group):
    """Knows its sub-commands by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of :data:`COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The imported sub-command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of sub-commands, from the table: importing them all would cost a second."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.says) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="failover")
@click.option(
    "--socket",
    envvar="FAILOVER_SOCKET",
    default="/run/failover/api.sock",
    show_default=True,
    metavar="PATH",
    help="The daemon's socket.",
)
@click.option("--site", envvar="FAILOVER_SITE", metavar="NAME", help="Which site, where the daemon watches several.")
@click.pass_context
def cli(ctx: click.Context, socket: str, site: str | None) -> None:
    """Watch a website's servers and carry out the emergency plan on their backups."""
    ctx.obj = {"socket": socket, "site": site}


def code_of(error: FailoverError) -> int:
    """The exit code that says what went wrong."""
    from_cli = getattr(error, "exit_code", None)
    if isinstance(from_cli, int):
        return from_cli
    table: tuple[tuple[type[FailoverError], int], ...] = (
        (ConfigError, BAD_CONFIG), (JournalError, IO_ERROR), (NotAllowed, NOT_ALLOWED),
    )  # fmt: skip
    return next((code for kind, code in table if isinstance(error, kind)), FAILED)


def main() -> None:
    """The console script: sentences on stderr, an exit code that scripts can read."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)  # as a shell says it of SIGINT
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FailoverError as error:
        click.echo(str(error), err=True)
        sys.exit(code_of(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains once more while it ends
        sys.exit(FAILED)
    sys.exit(code if isinstance(code, int) else OK)
