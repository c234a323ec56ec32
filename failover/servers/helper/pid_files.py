"""Pid and lock files that a program left behind: removed when their owner is certainly dead, and only then.

A number in a file proves little, for the kernel gives it to another process later. So the process of that number is
compared with the file: one that started after the file was written never wrote it. Where the clock may have been set
in between, whatever looks like the owner counts as the owner: a file too many costs a start, one too few a program.
"""

import os
import re
import stat
import time
from typing import List, NamedTuple, Optional, Tuple

from .core import Failed, Refused, Work, boottime, plain, process_table, start_of
from .ports import program_of, unit_of

MOST_BYTES = 4096
SLACK_SECONDS = 5.0
"""A file is written a moment after its process started, and clocks of files are coarse."""

Look = NamedTuple("Look", [("path", str), ("owner", Optional[str]), ("why", str), ("inode", int)])
"""What was found at a path: who lives by it, or None and why nobody does."""


def look(path: str, unit: str, programs: List[str]) -> Optional[Look]:
    """Who the file's owner is, for a unit that doesn't run; None where there is no file.

    Raises:
        Refused: ``pid-file-odd``: it is no small regular file, so it isn't what the config took it for.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused("pid-file-odd", f"{path} can't be read: {plain(error)}") from None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_size > MOST_BYTES:
            raise Refused("pid-file-odd", f"{path} is no small file, so no pid or lock file; it is left alone")
        text = os.read(fd, MOST_BYTES)
    finally:
        os.close(fd)
    owner, why = _owner(text, info, unit, programs)
    return Look(path, owner, why, info.st_ino)


def _owner(text: bytes, info: os.stat_result, unit: str, programs: List[str]) -> Tuple[Optional[str], str]:
    pid = _locker(info) or _opener(info)
    if pid is not None:
        return _named(pid), ""
    number = re.match(rb"\s*(\d{1,10})\b", text)
    if number is None:
        alike = [pid for pid in sorted(process_table()) if program_of(pid) in programs]
        if alike:
            return _named(alike[0]), ""
        return None, "it names no process, nobody has it open, and no process runs the program that writes it"
    pid = int(number.group(1))
    start = start_of(pid)
    if start is None:
        return None, f"process {pid} doesn't live any more"
    age = boottime() - start / os.sysconf("SC_CLK_TCK")
    started = time.time() - age
    same = unit_of(pid) == unit or program_of(pid) in programs
    if started > info.st_mtime + SLACK_SECONDS and not same:
        return None, f"process {pid} is another one now ({program_of(pid)}), which started later than it was written"
    return _named(pid), ""


def _named(pid: int) -> str:
    unit = unit_of(pid)
    return "{} (pid {}{})".format(program_of(pid) or "a process", pid, f", unit {unit}" if unit else "")


def _locker(info: os.stat_result) -> Optional[int]:
    """Who holds a lock on the file (proc(5), /proc/locks)."""
    wanted = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    try:
        with open("/proc/locks") as file:
            for fields in (line.split() for line in file):
                if wanted in fields and "->" not in fields:
                    pid = int(fields[fields.index(wanted) - 1])
                    return pid if pid > 0 else None
    except (OSError, ValueError):
        pass  # who has it open is looked at too
    return None


def _opener(info: os.stat_result) -> Optional[int]:
    """Who has the file open."""
    for pid in sorted(process_table()):
        if pid == os.getpid():
            continue
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                there = os.stat(f"/proc/{pid}/fd/{fd}")
                if (there.st_dev, there.st_ino) == (info.st_dev, info.st_ino):
                    return pid
        except OSError:
            continue  # it ended meanwhile
    return None


def remove(work: Work, found: Look) -> str:
    """Take away a file whose owner is dead, if it's still the one that was looked at; what was done, in words."""
    work.in_time()
    folder, name = os.path.split(found.path)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.stat(name, dir_fd=fd, follow_symlinks=False).st_ino != found.inode:
            raise Failed("pid-file-held", f"{found.path} was written anew meanwhile: somebody lives by it")
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return f"{found.path} went away by itself"
    finally:
        os.close(fd)
    sentence = f"removed {found.path}: {found.why}"
    work.places.log(sentence)
    return sentence
