"""Processes: whose child each is, and how all of a work end together."""

import ctypes
import os
import signal
import time
from typing import Any, Dict, Optional, Set, Tuple

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38


def _standing(pid: int) -> Optional[Tuple[int, int, int]]:
    """Parent, session and start time of a process; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return (int(fields[1]), int(fields[3]), int(fields[19])) if fields and fields[0] != b"Z" else None


def start_of(pid: int) -> Optional[int]:
    """When a process started, in the kernel's ticks, which with its number names it for good; None if it has ended."""
    standing = _standing(pid)
    return standing[2] if standing is not None else None


def process_table() -> Dict[int, Tuple[int, int, int]]:
    """Parent, session and start time of every process. Takes milliseconds on a busy server."""
    found = {int(name): _standing(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return {pid: standing for pid, standing in found.items() if standing is not None}


def family_of(leader: int) -> Set[int]:
    """A session with everything that descends from it, whatever process group it made for itself."""
    table = process_table()
    family = {pid for pid, (_, session, _) in table.items() if session == leader} | ({leader} & set(table))
    grown = -1
    while grown != len(family):
        grown = len(family)
        family |= {pid for pid, (parent, _, _) in table.items() if parent in family}
    return family


def end_self(*_: Any) -> None:
    """End this work with all that it started, itself last."""
    for pid in family_of(os.getpid()) - {os.getpid()}:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass  # it ended by itself
    os.killpg(0, signal.SIGKILL)


def end_work(leader: int) -> None:
    """Kill a session with everything that descends from it."""
    for _ in range(5):
        family = family_of(leader)
        if not family:
            return
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass  # it ended by itself
        time.sleep(0.005)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def detach() -> None:
    """Hold nothing of the session that one was started in."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, 4096)
    os.chdir("/")
