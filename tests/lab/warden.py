"""Owns everything a lab made, and ends it: when its maker ends (however), or when its time is over.

Run as a program of its own by `Lab`. The maker holds the write end of this process's standard input: when the maker
dies, even by kill -9, the pipe closes. The lab's own PID 1 (`hold`) hangs on this process in the same way, so ending
either of the two ends every host. What namespaces don't clean up by themselves (cgroup folders, the folder of state)
is removed here, or by the `sweep` of the next lab if this process is killed too.
"""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PREFIX = "failover-lab-"
ALIVE = "alive"
ELSEWHERE = "elsewhere"  # names the folder of the hosts' disks, if that isn't inside the folder of state


def hold(life_seconds: float) -> None:
    """Be PID 1 of the lab: reap orphans, end when the warden does. The kernel then ends every process in the lab."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready", flush=True)
    select.select([sys.stdin], [], [], life_seconds)


def guard(state: Path, cgroup: Path, life_seconds: float) -> None:
    """Start the lab's PID 1, say its number, wait for the end, and leave nothing behind."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    spaces = ["--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--propagation=private"]
    child = subprocess.Popen(
        ["unshare", *spaces, sys.executable, "-I", "-S", __file__, "hold", str(life_seconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if child.stdout is None or child.stdout.readline() != "ready\n":
            raise SystemExit("the lab's own PID 1 didn't start")
        print(Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().strip(), flush=True)
        select.select([sys.stdin, os.pidfd_open(child.pid)], [], [], life_seconds)
    finally:
        child.kill()
        child.wait()
        remove(state, cgroup)


def remove(state: Path, cgroup: Path, within_seconds: float = 15) -> None:
    """Remove a lab's cgroups (as soon as they are empty) and its folder of state."""
    deadline = time.monotonic() + within_seconds
    while cgroup.is_dir():
        for folder, _, _ in os.walk(cgroup, topdown=False):
            with contextlib.suppress(OSError):  # still populated: the next round gets it
                os.rmdir(folder)
        if cgroup.is_dir():
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
    with contextlib.suppress(OSError):
        shutil.rmtree((state / ELSEWHERE).read_text(), ignore_errors=True)
    shutil.rmtree(state, ignore_errors=True)


def sweep(cgroups: Path) -> None:
    """Remove what labs left whose warden was killed: their lock is free."""
    for state in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (state / ALIVE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(state, cgroups / state.name, within_seconds=2)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold(float(sys.argv[2]))
    else:
        guard(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
