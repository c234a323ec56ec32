"""What people type, as real processes against a whole daemon on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from failover.console.listen import user_name
from tests.daemon.bureau import Bureau

ME = f"{user_name(os.getuid())} (uid {os.getuid()})"


@dataclass
class Ended:
    code: int
    out: str
    err: str


async def failover(bureau: Bureau, *argv: str, tty: bool = False, typed: str = "") -> Ended:
    """Run a command; with ``tty`` at a terminal, where ``typed`` is typed."""
    command = [sys.executable, "-m", "failover", "--socket", bureau.client.path, *argv]
    env = {name: text for name, text in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm", "COLUMNS": "160"}
    if not tty:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=env,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return Ended(process.returncode or 0, out.decode(), err.decode())
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(*command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    os.write(ours, typed.encode())
    await asyncio.wait_for(process.wait(), 60)
    said = b""
    try:
        while chunk := os.read(ours, 65536):
            said += chunk
    except OSError:
        pass  # EIO: the terminal's other side is closed
    os.close(ours)
    return Ended(process.returncode or 0, said.decode(), "")


async def test_status_says_all_on_one_screen(running: Bureau) -> None:
    said = await failover(running, "status")
    assert said.code == 0, said
    for word in (
        "roles",
        "addresses",
        "servers",
        "checks",
        "plans",
        "web-backup",
        "127.77.0.100",
        "website",
        "200 OK",
        "ready",
    ):
        assert word in said.out
    assert "\x1b" not in said.out, "no colours without a terminal"
    assert len(said.out.splitlines()) <= 40
    assert max(len(line) for line in said.out.splitlines()) <= 200


async def test_status_has_colours_at_a_terminal_unless_told_otherwise(running: Bureau) -> None:
    assert "\x1b[" in (await failover(running, "status", tty=True)).out
    assert "\x1b[3" not in (await failover(running, "status", "--no-color", tty=True)).out


async def test_status_as_json_is_one_object(running: Bureau) -> None:
    said = await failover(running, "status", "-o", "json")
    assert json.loads(said.out)["sites"][0]["roles"][0]["holder"] == "web"


async def test_recover_without_a_failure_is_not_allowed(running: Bureau) -> None:
    said = await failover(running, "recover", "web", "--yes")
    assert said.code == 77
    assert "there is no failure that plan web is for" in said.err
    assert said.out == ""


async def test_switch_shows_every_change_live_and_moves(running: Bureau) -> None:
    said = await failover(running, "switch", "web", "--yes")
    assert said.code == 0, said
    lines = [line.strip() for line in said.out.splitlines()]
    assert lines[0] == "run 1: switch web from web to web-backup"
    assert "take 127.77.0.100/24 from web" in lines
    assert "give 127.77.0.100/24 on eth0 to web-backup" in lines
    assert lines[-1].startswith("run 1 done after")
    assert running.holds == "web-backup"
    shown = await failover(running, "runs", "show", "1")
    assert f"caused by {ME}: switch web, asked for by a person" in shown.out
    assert "give 127.77.0.100/24 on eth0 to web-backup" in shown.out
    listed = await failover(running, "runs")
    assert "switch web web → web-backup" in listed.out


async def test_a_dry_run_shows_and_does_nothing(running: Bureau) -> None:
    said = await failover(running, "switch", "web", "--dry-run")
    assert said.code == 0, said
    assert "give 127.77.0.100/24 on eth0 to web-backup" in said.out
    await asyncio.sleep(0.3)
    assert running.holds == "web"
    assert not running.events("run.opened")


async def test_without_a_terminal_a_move_needs_yes(running: Bureau) -> None:
    said = await failover(running, "switch", "web")
    assert said.code == 2
    assert "--yes" in said.err
    assert running.holds == "web"


@pytest.mark.parametrize(
    ("typed", "code", "holder"), [("web-backup\n", 0, "web-backup"), ("web\n", 1, "web"), ("y\n", 1, "web")]
)
async def test_at_a_terminal_the_new_holders_name_is_typed(
    running: Bureau,
    typed: str,
    code: int,
    holder: str,
) -> None:
    said = await failover(running, "switch", "web", tty=True, typed=typed)
    assert said.code == code, said.out
    assert "Type web-backup to go on" in said.out
    assert running.holds == holder


async def test_a_waiting_run_is_confirmed_by_name(running: Bureau) -> None:
    running.world.power_off("web")
    await running.until(lambda: running.events("run.waiting"), 15)
    status = await failover(running, "status")
    assert status.code == 1, "an incident is open"
    assert "waiting" in status.out
    busy = await failover(running, "switch", "web", "--yes")
    assert busy.code == 75
    assert "run 1" in busy.err
    nonsense = await failover(running, "confirm", "1", "off:moon", "--why", "x")
    assert nonsense.code == 77
    assert "off:web" in nonsense.err
    said = await failover(running, "confirm", "1", "off:web", "--why", "I pulled the plug")
    assert said.code == 0, said
    assert running.holds == "web-backup"
    shown = await failover(running, "runs", "show", "1")
    assert f"{ME} says off:web: I pulled the plug" in shown.out


async def test_abort_and_the_reasons(running: Bureau) -> None:
    running.world.power_off("web")
    await running.until(lambda: running.events("run.waiting"), 15)
    assert (await failover(running, "abort", "1")).code == 2, "no reason given"
    said = await failover(running, "abort", "1", "--why", "it comes back")
    assert said.code == 0, said
    await running.until(lambda: running.ended(1))
    assert f"aborted by {ME}: it comes back" in str(running.events("run.ended")[0].data)


async def test_explain_says_why_nothing_happened(running: Bureau) -> None:
    await failover(running, "automation", "off", "--why", "we work on the network")
    running.break_web()
    await running.until(
        lambda: any("switched-off" in str(event.data["guards"]) for event in running.events("decision.made"))
    )
    said = await failover(running, "explain")
    assert "web: propose since" in said.out
    assert "we work on the network" in said.out
    assert "decided again now, from the same situation: the same" in said.out
    bad = await failover(running, "explain", "--at", "yesterday")
    assert bad.code == 2


async def test_upkeep(running: Bureau) -> None:
    assert (
        "maintenance of web until"
        in (await failover(running, "maintenance", "begin", "web", "--for", "2h", "--why", "kernel")).out
    )
    assert "maintenance of web" in (await failover(running, "status")).out
    assert (await failover(running, "maintenance", "end", "web", "--why", "done")).code == 0
    assert (await failover(running, "maintenance", "begin", "moon", "--for", "2h", "--why", "x")).code == 1
    assert "is acknowledged" in (await failover(running, "ack", "web", "--why", "seen")).out
    assert (await failover(running, "ack", "moon", "--why", "seen")).code == 1
    assert "nothing changed" in (await failover(running, "reload")).out
    tested = await failover(running, "notify", "test", "robot")
    assert (tested.code, "robot: ok" in tested.out) == (0, True)
    assert running.robot.got[-1]["title"] == f"a test of failover, asked for by {ME}"


async def test_audit_verifies_the_daemons_journal_and_any_file(running: Bureau) -> None:
    assert "all sound" in (await failover(running, "audit", "verify")).out
    head = (await failover(running, "audit", "head")).out.strip()
    await running.stop()
    path = str(running.folder / "state/journal.db")
    assert (await failover(running, "audit", "verify", path, "--head", head)).code == 0
    wrong = head[:-4] + ("0000" if not head.endswith("0000") else "1111")
    assert (await failover(running, "audit", "verify", path, "--head", wrong)).code == 1


async def test_the_exit_code_says_what_went_wrong(running: Bureau, tmp_path: Path) -> None:
    assert (await failover(running, "runs", "show", "99")).code == 1
    assert (await failover(running, "runs", "show", "x")).code == 2
    assert (await failover(running, "nonsense")).code == 2
    await running.stop()
    said = await failover(running, "status")
    assert said.code == 69
    assert "no daemon answers" in said.err
    assert "Traceback" not in said.err
