"""The command line answers at once: what it must not import, and how long it may take."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from failover.cli.main import COMMANDS

HEAVY = (
    "pydantic",
    "httpx",
    "paramiko",
    "starlette",
    "uvicorn",
    "asyncio",
    "sqlite3",
    "rich",
    "yaml",
    "prometheus_client",
)
TALKS = ("status", "recover", "switch", "runs", "resume", "abort", "mark-done", "confirm", "explain", "ack",
         "backup", "maintenance", "automation", "notify", "reload", "audit", "daemon")  # fmt: skip


def imported(*argv: str) -> set[str]:
    """The modules that a command has imported by its end."""
    program = (
        "import sys; sys.argv = ['failover', *sys.argv[1:]]\n"
        "from failover.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('IMPORTED', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *argv], capture_output=True, text=True, timeout=60, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("IMPORTED"))
    return set(line.split())


def test_help_imports_nothing_heavy() -> None:
    assert not imported("--help") & set(HEAVY)


@pytest.mark.parametrize("command", TALKS)
def test_a_command_that_talks_to_the_daemon_imports_little(command: str) -> None:
    assert not imported(command, "--help") & set(HEAVY)


def test_help_takes_less_than_150_ms() -> None:
    def once() -> float:
        """Processor time: others use this machine too."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "failover", "--help"], capture_output=True, timeout=30, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(once() for _ in range(7)) < 0.15


def test_help_names_every_command_with_a_sentence() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "failover", "--help"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    for name, entry in COMMANDS.items():
        assert f"  {name} " in said
        assert entry.says.endswith(".")
