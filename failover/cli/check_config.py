"""``failover check-config``: every problem of a config at once, each at its place; nothing is touched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from failover.cli.client import output_option, show_json
from failover.cli.main import BAD_CONFIG, OK
from failover.errors import ConfigError

if TYPE_CHECKING:
    from failover.config.config import Config

SITE_PARTS = ("servers", "roles", "addresses", "checks", "plans")


@click.command("check-config")
@click.argument(
    "path", envvar="FAILOVER_CONFIG", default="/etc/failover/failover.yaml", type=click.Path(path_type=Path)
)
@click.option("--draft", is_flag=True, help="It isn't installed yet: don't look at owners, modes and secrets.")
@click.option("--strict", is_flag=True, help="Warnings are problems too.")
@output_option
def check_config(path: Path, draft: bool, strict: bool, output: str) -> int:
    """Name every problem of the config at PATH, with the sites.d/*.yaml beside it.

    Exit code 78 when it can't be used. Without PATH it is the one that the daemon reads.
    """
    from failover.config.load import load

    problems: tuple[str, ...] = ()
    config = None
    try:
        config = load(path, trusted=draft)
    except ConfigError as error:
        problems = error.problems
    warnings = config.warnings if config is not None else ()
    good = config is not None and not (strict and warnings)
    if output == "json":
        counts = _counts(config) if config is not None else {}
        show_json({"good": good, "problems": list(problems), "warnings": list(warnings), "counts": counts})
        return OK if good else BAD_CONFIG
    for warning in warnings:
        click.echo(f"{click.style('warning', fg='yellow')}: {warning}", err=True)
    for problem in problems:
        click.echo(problem, err=True)
    if config is not None and good:
        click.echo(f"{path}: {_says(config)}")
    return OK if good else BAD_CONFIG


def _counts(config: Config) -> dict[str, int]:
    parts = {part: sum(len(getattr(site, part)) for site in config.sites) for part in SITE_PARTS}
    return {"sites": len(config.sites), **parts, "channels": len(config.common.channels)}


def _says(config: Config) -> str:
    """``1 site, 3 servers, 2 roles, 2 addresses, 4 checks, 1 plan, 1 channel: good``."""
    return ", ".join(_count(number, many) for many, number in _counts(config).items()) + ": good"


def _count(number: int, many: str) -> str:
    one = many.removesuffix("es") if many == "addresses" else many.removesuffix("s")
    return f"{number} {one if number == 1 else many}"
