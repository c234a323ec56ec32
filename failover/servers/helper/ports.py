"""Who listens on a TCP port of this server: named by process, program and unit, and left alone."""

import os
import re
from typing import Dict, Iterable, List, Optional, Set

from .core import Answer, process_table

_LISTEN = "0A"


def listening() -> Dict[int, Set[str]]:
    """By port, the inodes of the sockets that listen on it (proc(5), /proc/net/tcp)."""
    found: Dict[int, Set[str]] = {}
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path) as file:
                for fields in (line.split() for line in file):
                    if fields[3] == _LISTEN:
                        port = int(fields[1].rpartition(":")[2], 16)
                        found.setdefault(port, set()).add(f"socket:[{fields[9]}]")
        except OSError:
            continue  # no IPv6
    return found


def held(ports: Iterable[int], besides: str = "") -> List[Answer]:
    """For each of these ports that another than the unit ``besides`` listens on, who that is."""
    open_ports = listening()
    wanted = {inode: port for port in ports for inode in open_ports.get(port, ())}
    if not wanted:
        return []
    owners: Dict[int, int] = {}
    for pid in sorted(process_table()):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                port = wanted.get(os.readlink(f"/proc/{pid}/fd/{fd}"))
                if port is not None:
                    owners.setdefault(port, pid)
        except OSError:
            continue  # it ended meanwhile
    found = []
    for port in sorted(set(wanted.values())):
        entry = dict({"port": port, "pid": owners.get(port)}, **described(owners.get(port)))
        if not besides or entry["unit"] != besides:
            found.append(entry)
    return found


def described(pid: Optional[int]) -> Answer:
    """A process as people know it: its program, never its arguments, for these may hold secrets; and its unit."""
    if pid is None:
        return {"program": None, "unit": None}
    return {"program": program_of(pid), "unit": unit_of(pid)}


def program_of(pid: int) -> Optional[str]:
    """The path of what a process runs, or at least its name."""
    try:
        return os.readlink(f"/proc/{pid}/exe").replace(" (deleted)", "")
    except OSError:
        pass  # a kernel thread, or gone
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return None


def unit_of(pid: int) -> Optional[str]:
    """The systemd unit that a process belongs to, by its control group."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            groups = [line.strip().split(":", 2)[2] for line in file]
    except OSError:
        return None
    for group in groups:
        for part in reversed(group.split("/")):
            if re.search(r"\.(service|scope|socket)\Z", part):
                return part
    return None


def said(entry: Answer) -> str:
    """``port 8000 is held by /usr/bin/python3.11 (pid 812, unit old-wcm.service)``."""
    if entry["pid"] is None:
        return "port {port} is held by a process that can't be seen".format(**entry)
    unit = f", unit {entry['unit']}" if entry["unit"] else ""
    return "port {} is held by {} (pid {}{})".format(entry["port"], entry["program"] or "somebody", entry["pid"], unit)


def complained_of(lines: Iterable[str]) -> List[int]:
    """The ports in a log's lines that speak of a port in use; numbers that nobody listens on do no harm."""
    found: List[int] = []
    for line in lines:
        if re.search(r"in use|EADDRINUSE|BindException", line, re.I):
            found += [int(number) for number in re.findall(r"(?<![\d.])(\d{1,5})(?![\d.])", line)]
    return [port for port in dict.fromkeys(found) if 0 < port < 65536]
