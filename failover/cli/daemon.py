"""``failover daemon``: what systemd starts."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource


@click.command()
@click.option(
    "--config",
    envvar="FAILOVER_CONFIG",
    default="/etc/failover/failover.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The config.",
)
@click.option("--state", type=click.Path(path_type=Path), help="The journal's folder, in place of the config's.")
@click.option("--listen", metavar="IP:PORT", help="Loopback address for /metrics, in place of the config's.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
@click.pass_context
def daemon(ctx: click.Context, config: Path, state: Path | None, listen: str | None, log_level: str) -> int:
    """Watch and recover, in the foreground. With `failover --socket PATH daemon` it listens there."""
    from failover.daemon.lean import leave_out

    leave_out()
    from failover.daemon.main import run
    from failover.daemon.places import Places

    parent = ctx.parent
    given = parent is not None and parent.get_parameter_source("socket") is not ParameterSource.DEFAULT
    socket = Path(ctx.obj["socket"]) if given else None
    return run(Places(config=config, state=state, socket=socket, listen=listen), log_level=log_level)
