"""``failover schema``: what editors complete and check a config by."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the config's JSON Schema.

    An editor that speaks the YAML language server reads it when the config begins with

        # yaml-language-server: $schema=/usr/share/failover/failover.schema.json
    """
    from failover.config.schema import schema_text

    click.echo(schema_text(), nl=False)
