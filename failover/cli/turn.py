"""Waiting for one's turn: one run at a time changes a site, and those of the daemon's own are over in a moment."""

from __future__ import annotations

import time

from failover.cli.client import Answered, Client, Json

OWN_KINDS = ("ahead", "keep")
"""Runs by which the daemon keeps things as they are, which a person needn't know of."""
PAUSE_SECONDS = 0.3


def begin(daemon: Client, route: str, turn_seconds: float, **order: object) -> Json:
    """Have a run begun, once those of the daemon's own are over; it is waited for no longer than ``turn_seconds``.

    Raises:
        Answered: the daemon said no. It is busy with what people should know of, or with something that doesn't end.
    """
    give_up = time.monotonic() + turn_seconds
    while True:
        try:
            return daemon.post(route, within_seconds=60.0, **order)
        except Answered as error:
            if error.kind != "busy" or time.monotonic() >= give_up:
                raise
            run = daemon.get(f"/runs/{error.problem['run']}")
            if run["kind"] not in OWN_KINDS or run["state"] == "waiting":
                raise
        time.sleep(PAUSE_SECONDS)
