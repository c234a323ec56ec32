"""Watching a run until it ends or waits for a person."""

from __future__ import annotations

import time

import click

from failover.cli.client import Client, Json
from failover.cli.main import FAILED, OK
from failover.cli.words import sentence

LOOK_SECONDS = 0.2


def follow(client: Client, run: int, *, quiet: bool = False) -> tuple[Json, int]:
    """Print a run's lines as they come; returns the run as it is then, and the exit code: 0 only for ``done``."""
    after = 0
    while True:
        events = client.get("/events", run=run, after=after)["events"]
        for event in events:
            after = event["seq"]
            if not quiet and (line := sentence(event)) is not None:
                click.echo(line)
        if events:
            continue  # there may be more than one answer holds
        view = client.get(f"/runs/{run}")
        if view["state"] != "running":
            if view["state"] == "waiting" or not client.get("/events", run=run, after=after)["events"]:
                return view, OK if view["state"] == "done" else FAILED
            continue
        time.sleep(LOOK_SECONDS)
