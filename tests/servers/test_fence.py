"""A fence made of real commands, and what counts as its confirmation."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from failover.errors import ChangeFailed, OutcomeUnknown, Refused, Unreachable
from failover.model import Token
from failover.servers.base import Server
from failover.servers.fence import CommandFence, FenceSettings
from tests.processes import runs
from tests.waiting import wait_until

TOKEN = Token(2, 5)
OFF = {"want": "off"}


class Outlet:
    """A switched outlet made of a file: ``off FILE`` and ``status FILE`` as commands."""

    def __init__(self, folder: Path, name: str = "outlet") -> None:
        self.state = folder / name
        self.state.write_text("on")
        self.off = self._command(folder / f"{name}-off", f"echo off > {self.state}; echo {name} is off")
        self.status = self._command(folder / f"{name}-status", f"echo Status: $(cat {self.state})")

    @staticmethod
    def _command(path: Path, script: str) -> tuple[str, ...]:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return (str(path),)


@pytest.fixture
def outlet(tmp_path: Path) -> Outlet:
    return Outlet(tmp_path)


def script(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


def test_a_fence_is_a_server_with_one_verb(outlet: Outlet) -> None:
    fence = CommandFence("web", [outlet.off], [outlet.status])
    assert isinstance(fence, Server)
    assert fence.name == "fence:web"
    assert fence.warm()
    assert fence.ask("fence") == {"off": False, "says": ["Status: on"]}
    answer = fence.change("fence", OFF, token=TOKEN, within_seconds=5)
    assert answer == {"off": True, "says": ["Status: off"], "confirmed_by": "status"}
    assert fence.ask("fence")["off"] is True
    with pytest.raises(Refused, match="knows the verb 'fence' only"):
        fence.ask("facts")
    with pytest.raises(Refused, match="can only be asked to be off, not 'on'"):
        fence.change("fence", {"want": "on"}, token=TOKEN, within_seconds=5)
    fence.close()


def test_without_a_status_command_the_exit_code_is_believed(outlet: Outlet) -> None:
    fence = CommandFence("web", [outlet.off])
    assert fence.ask("fence") == {"off": None, "says": []}
    answer = fence.change("fence", OFF, token=TOKEN, within_seconds=5)
    assert answer == {"off": True, "says": ["outlet is off"], "confirmed_by": "exit code"}


def test_two_power_supplies_must_both_be_off(tmp_path: Path) -> None:
    one, two = Outlet(tmp_path, "one"), Outlet(tmp_path, "two")
    half = CommandFence("web", [one.off], [one.status, two.status], timeout=1)
    with pytest.raises(ChangeFailed, match="the status is not 'off': Status: off / Status: on"):
        half.change("fence", OFF, token=TOKEN, within_seconds=5)
    whole = CommandFence("web", [one.off, two.off], [one.status, two.status])
    assert whole.change("fence", OFF, token=TOKEN, within_seconds=5)["off"] is True


def test_a_failing_command_confirms_nothing(outlet: Outlet) -> None:
    fence = CommandFence("web", [script("echo no such outlet >&2; exit 1")], [outlet.status])
    with pytest.raises(ChangeFailed, match="sh ended with exit code 1: no such outlet"):
        fence.change("fence", OFF, token=TOKEN, within_seconds=5)
    killed = CommandFence("web", [script("kill -9 $$")])
    with pytest.raises(ChangeFailed, match="ended with SIGKILL"):
        killed.change("fence", OFF, token=TOKEN, within_seconds=5)


@pytest.mark.parametrize(
    ("says", "off"),
    [
        ("echo Chassis Power is off", True),
        ("echo Status: OFF; exit 2", True),
        ("echo web is on", False),
        ("echo 'Failed: could not switch off'; exit 1", None),
        ("echo on and off", None),
        ("echo offline", None),
        ("true", None),
        ("echo off >&2", None),
    ],
)
def test_what_a_status_says(says: str, off: bool | None) -> None:
    assert CommandFence("web", [("true",)], [script(says)]).ask("fence")["off"] is off


def test_an_outlet_that_needs_a_moment_is_waited_for(tmp_path: Path) -> None:
    state = tmp_path / "state"
    slow = script(f"(sleep 1.2; echo off > {state}) >/dev/null 2>&1 &")
    seen: list[object] = []
    fence = CommandFence("web", [slow], [script(f"cat {state} || echo on")])
    answer = fence.change("fence", OFF, token=TOKEN, within_seconds=6, progress=lambda told: seen.append(told["phase"]))
    assert answer["off"] is True
    assert seen[:2] == ["off", "status"]


def test_a_command_that_hangs_is_killed_with_its_children_and_the_outcome_is_unknown(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    fence = CommandFence("web", [script(f"sleep 60 & echo $! > {pid}; wait")])
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="sh had not ended within"):
        fence.change("fence", OFF, token=TOKEN, within_seconds=0.5)
    assert time.monotonic() - began < 10
    wait_until(lambda: not runs(int(pid.read_text())))


def test_a_child_that_keeps_the_streams_open_doesnt_hold_the_answer() -> None:
    began = time.monotonic()
    fence = CommandFence("web", [script("sleep 30 & echo done")])
    assert fence.change("fence", OFF, token=TOKEN, within_seconds=10)["says"] == ["done"]
    assert time.monotonic() - began < 10


def test_a_flood_is_drained_and_capped() -> None:
    fence = CommandFence("web", [("true",)], [script("yes noise | head -c 30000000; echo off")])
    assert fence.ask("fence", within_seconds=20)["off"] is None, "what lies beyond the cap isn't read"


def test_a_command_that_isnt_there_did_nothing() -> None:
    fence = CommandFence("web", [("no-such-fence", "off")])
    with pytest.raises(Unreachable, match="no-such-fence can't be started: No such file"):
        fence.change("fence", OFF, token=TOKEN, within_seconds=5)


def test_an_older_token_cant_fence(outlet: Outlet) -> None:
    fence = CommandFence("web", [outlet.off], [outlet.status])
    fence.change("fence", OFF, token=Token(3, 9), within_seconds=5)
    outlet.state.write_text("on")
    with pytest.raises(Refused) as refused:
        fence.change("fence", OFF, token=Token(3, 8), within_seconds=5)
    assert refused.value.kind == "stale-token"
    assert outlet.state.read_text() == "on"


def test_no_secret_of_the_monitor_reaches_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIAL", "canary")
    fence = CommandFence("web", [("true",)], [script("env; echo off")])
    says = fence.ask("fence")["says"][0]
    assert "canary" not in says
    assert "PATH=" in says


def test_settings_take_one_command_or_many() -> None:
    one = FenceSettings.model_validate({"kind": "command", "off": ["pdu", "off", "web"], "status": ["pdu", "status"]})
    assert one.off == (("pdu", "off", "web"),)
    many = FenceSettings.model_validate({"off": [["a"], ["b"]], "timeout": "10s"})
    assert many.off == (("a",), ("b",))
    assert CommandFence.from_settings("db", many).name == "fence:db"
    bad_ones: list[dict[str, object]] = [
        {"off": []}, {"off": [[]]}, {"off": "pdu off"}, {"off": ["x"], "shell": True},
    ]  # fmt: skip
    for bad in bad_ones:
        with pytest.raises(ValidationError):
            FenceSettings.model_validate(bad)
