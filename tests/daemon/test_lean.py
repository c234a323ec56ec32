"""The daemon's process does without what libraries import for their own command lines, and misses nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from failover.daemon.lean import NOT_OURS

HEAVY = (
    "rich", "pygments", "invoke", "unittest", "unittest.mock", "jinja2",
    "failover.cli.status", "failover.servers.enroll",
)  # fmt: skip

SCRIPT = """
import json, sys
from failover.daemon.lean import leave_out
{call}
import failover.daemon.main
import httpx, paramiko
print(json.dumps({{"modules": [name for name, it in sys.modules.items() if it is not None],
                   "httpx": httpx.AsyncClient.__name__, "paramiko": paramiko.Transport.__name__}}))
"""


def _modules(call: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(call=call)], capture_output=True, text=True, timeout=60, check=True
    )
    found = json.loads(done.stdout)
    assert (found["httpx"], found["paramiko"]) == ("AsyncClient", "Transport")
    return set(found["modules"])


def test_what_serves_nothing_of_ours_is_not_imported() -> None:
    assert not _modules("leave_out()") & {*HEAVY, *NOT_OURS}


@pytest.mark.parametrize("name", NOT_OURS)
def test_it_would_be_imported_otherwise(name: str) -> None:
    assert name in _modules("")  # else it needn't be named any more
