"""Goes on saying that an address is here, for those who didn't hear it the first time."""

import os
import signal
import subprocess
import sys
import time

from .files import put_file
from .neighbours import _lingering, send_frames
from .netlink import addresses, links
from .park import parked
from .places import ENVIRONMENT, PROGRAM, Places
from .processes import detach


def announcer_file(places: Places, ip: str) -> str:
    """Names the one announcer of an address; without it, or with another name in it, an announcer ends."""
    return f"{places.run}/announce-{ip}"


ANNOUNCE_AT_SECONDS = [1, 2, 5, 10] + list(range(60, 601, 60))


def start_announcer(places: Places, ip: str, interface: str) -> None:
    """Go on announcing, in a process that outlives this session and holds nothing of it."""
    name = os.urandom(8).hex()
    try:
        put_file(announcer_file(places, ip), name.encode(), 0o600, durable=False)
    except OSError:
        name = "-"
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    try:
        detach()
        if os.fork():
            os._exit(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        argv = [sys.executable, "-IS", PROGRAM] + (["--root", places.root] if places.root else [])
        argv += ["announce", ip, interface, name]
        if not places.root and os.path.isdir("/run/systemd/system"):
            # A session's processes may be killed with it (KillUserProcesses=yes); a unit of its own isn't.
            time.sleep(0.3)
            unit = "--unit=failover-announce-" + name
            if subprocess.call(["systemd-run", "--quiet", "--collect", unit] + argv, env=ENVIRONMENT) == 0:
                os._exit(0)
        os.execve(sys.executable, argv, ENVIRONMENT)  # noqa: S606 - without a shell, on purpose
    finally:
        os._exit(1)


def announce(places: Places, ip: str, interface: str, name: str) -> int:
    """Repeat the announcement at 1, 2, 5 and 10 s, then every minute for ten, while the address is here and heard."""
    begin = time.monotonic()
    for at in ANNOUNCE_AT_SECONDS:
        time.sleep(max(0.0, begin + at - time.monotonic()))
        if name != "-":
            try:
                with open(announcer_file(places, ip)) as file:
                    if file.read(100) != name:
                        return 0
            except OSError:
                return 0
        link = links().get(interface)
        if link is None or not any(held.ip == ip and held.index == link.index for held in addresses()):
            return 0
        if ip in parked():
            return 0
        try:
            send_frames(link, ip)
        except OSError:
            _lingering.clear()  # no link just now, or another card of the same name; the next one counts
    return 0
