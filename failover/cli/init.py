"""``failover init``: a first config, from questions at a terminal or from options."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from failover.cli.first_answers import ANSWERS, Answer, ask, check_value
from failover.cli.main import CANT_WRITE, OK
from failover.errors import ConfigError, FailoverError

MODE = 0o640
"""The daemon's group reads it; whoever writes it commands every server."""


class CantWrite(FailoverError):
    """The file can't be put where it was wanted."""

    exit_code = CANT_WRITE


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for answer in reversed(ANSWERS):
        says = answer.says + ("  [*]" if answer.default is None else "")
        command = click.option(
            answer.option, answer.name, metavar=answer.metavar, help=says, callback=_checked(answer)
        )(command)  # fmt: skip
    return command


def _checked(answer: Answer) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def check(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        return None if value is None else check_value(answer, value)

    return check


@click.command()
@click.argument(
    "path", envvar="FAILOVER_CONFIG", default="/etc/failover/failover.yaml", type=click.Path(path_type=Path)
)
@_options
@click.option("--force", is_flag=True, help="Replace PATH where it exists; what was there is kept as PATH.old.")
def init(path: Path, force: bool, **given: str | None) -> int:
    """Write a first config to PATH, with a comment on every part; PATH - prints it.

    What no option says is asked for at a terminal; without one, the options marked [*] must be there. Nothing is
    written that `failover check-config` would refuse.
    """
    shown = str(path) == "-"
    if not shown and not force and os.path.lexists(path):
        raise CantWrite(f"{path} is there already; with --force it is replaced, and kept as {path}.old")
    from failover.config.first import First

    first = First(**ask(given, interactive=sys.stdin.isatty()))  # type: ignore[arg-type] # click checked each of them
    text = first.text_of_config()
    _refuse_bad(text)
    if shown:
        click.echo(text, nl=False)
        return OK
    _put(path, text)
    click.echo(f"{path} is written. What next: read it, then failover check-config, failover enroll --all", err=True)
    return OK


def _refuse_bad(text: str) -> None:
    """Each answer may be right and still not fit to the others.

    Raises:
        ConfigError: as for the daemon; the lines are those of the text that wasn't written.
    """
    from failover.config.load import load

    with tempfile.TemporaryDirectory(prefix="failover-init-") as folder:
        draft = Path(folder) / "draft.yaml"
        draft.write_text(text, encoding="utf-8")
        try:
            load(draft, trusted=True)
        except ConfigError as error:
            problems = [problem.removeprefix(f"{folder}{os.sep}") for problem in error.problems]
            raise ConfigError(
                [*problems, "nothing was written: with these answers the config could not be used"]
            ) from None


def _put(path: Path, text: str) -> None:
    """Whole or not at all, with the group of its folder, which is the daemon's."""
    draft = None
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), MODE)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), -1, path.parent.stat().st_gid)
            os.fsync(file.fileno())
        if os.path.lexists(path):
            os.replace(path, path.with_name(path.name + ".old"))
        os.link(draft, path)  # fails where somebody else was faster
    except OSError as error:
        raise CantWrite(f"{path} can't be written: {error.strerror}") from None
    finally:
        if draft is not None:
            os.unlink(draft)
