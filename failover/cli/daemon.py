"""``failover daemon``: what systemd starts."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--config",
    envvar="FAILOVER_CONFIG",
    default="/etc/failover/failover.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The config.",
)
@click.option(
    "--state",
    default="/var/lib/failover",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the journal lies.",
)
@click.option(
    "--listen",
    default="127.0.0.1:9842",
    show_default=True,
    metavar="IP:PORT",
    help="Loopback address for /metrics, /healthz and /readyz.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
@click.pass_context
def daemon(ctx: click.Context, config: Path, state: Path, listen: str, log_level: str) -> int:
    """Watch and recover, in the foreground."""
    from failover.daemon.main import Places, run

    places = Places(config=config, state=state, socket=Path(ctx.obj["socket"]), listen=listen)
    return run(places, log_level=log_level)
