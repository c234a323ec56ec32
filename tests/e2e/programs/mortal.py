"""failover's daemon, as it is, but it dies by SIGKILL at one line of its journal, once that is on the disk.

usage: mortal.py ARMED daemon ...    (ARMED: a file with `KIND COUNT`: it dies at the COUNT-th line of that KIND of a
run that moves, and the file is gone then, so that the daemon that is started next lives)
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, "/opt/failover/lib")

from failover.cli.main import main
from failover.journal.journal import Journal

armed = Path(sys.argv[1])
append = Journal.append
moving: set[int] = set()
seen: list[str] = []


def append_and_die(self, kind, *, run=None, data=None, **more):  # type: ignore[no-untyped-def]
    event = append(self, kind, run=run, data=data, **more)
    if kind == "run.opened" and data["kind"] in ("recover", "switch"):
        moving.add(run)
    if run in moving and armed.exists():
        fatal, count = armed.read_text().split()
        seen.append(kind)
        if kind == fatal and seen.count(kind) == int(count):
            armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    return event


Journal.append = append_and_die  # type: ignore[method-assign]
sys.argv[1:] = sys.argv[2:]
main()
