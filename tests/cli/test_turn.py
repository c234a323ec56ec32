"""A person's order waits for what the daemon does by itself, and for nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from failover.cli import turn
from failover.cli.client import Answered, Client


class Daemon(Client):
    """Is busy for some requests, with a run of a kind."""

    def __init__(self, busy: int, kind: str, state: str = "running") -> None:
        super().__init__("/nowhere")
        self.busy, self.run, self.asked = busy, {"kind": kind, "state": state}, 0

    def post(self, route: str, *, within_seconds: float = 60.0, **body: object) -> dict[str, Any]:
        self.asked += 1
        if self.asked <= self.busy:
            raise Answered(409, {"type": "https://x/errors#busy", "detail": "run 7 is under way", "run": 7})
        return {"number": 8, "route": route, **body}

    def get(self, route: str, *, within_seconds: float = 15.0, **query: object) -> dict[str, Any]:
        assert route == "/runs/7"
        return self.run


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "PAUSE_SECONDS", 0.01)


@pytest.mark.parametrize("kind", ["ahead", "keep"])
def test_it_comes_after_what_the_daemon_does_by_itself(kind: str) -> None:
    daemon = Daemon(3, kind)
    assert turn.begin(daemon, "/runs", 5.0, verb="switch") == {"number": 8, "route": "/runs", "verb": "switch"}
    assert daemon.asked == 4


@pytest.mark.parametrize(
    ("kind", "state", "turn_seconds"), [("recover", "running", 5.0), ("keep", "waiting", 5.0), ("keep", "running", 0.0)]
)
def test_it_waits_for_nothing_else(kind: str, state: str, turn_seconds: float) -> None:
    daemon = Daemon(3, kind, state)
    with pytest.raises(Answered, match="run 7 is under way"):
        turn.begin(daemon, "/runs", turn_seconds, verb="switch")
    assert daemon.asked == 1
