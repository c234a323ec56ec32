"""What root does on the server itself, at boot or by hand while no daemon runs."""

import fcntl
import json
import os
import sys
import time

from . import parking
from .address import hold
from .clock import boottime
from .netlink import addresses, links, remove_address
from .park import parked, set_parked
from .places import Places
from .processes import detach
from .work import Work

GUARD_SECONDS = 120.0


def guard(places: Places, late: bool) -> int:
    """Park every service address, once per boot and before the network is up (decision 3), and watch for two minutes.

    Units that only one server may run are parked with them (decision 7), before systemd comes to start them.

    Started again by hand or by an upgrade it does nothing: the daemon may have given an address back meanwhile. With
    ``late`` it only takes off what came up.
    """
    work = Work(places, "guard", boottime() + 60)
    if late:
        take_off_parked(work)
        return 0
    os.makedirs(places.run, mode=0o755, exist_ok=True)
    try:
        os.close(os.open(places.run + "/guarded", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        sys.stderr.write("what is to be parked was parked at boot; nothing is done now\n")
        return 0
    units = parking.parking_units(work.policy)
    parking.set_marks(places, units)  # first: it can't fail for want of a tool
    if work.policy.addresses:
        set_parked(work, set(parked()) | set(work.policy.addresses))
    places.log("parked at boot: {}".format(", ".join(sorted(work.policy.addresses) + units) or "nothing"))
    if not work.policy.addresses:
        return 0
    if os.fork():
        return 0
    detach()
    until = time.monotonic() + GUARD_SECONDS
    while time.monotonic() < until:
        take_off_parked(Work(places, "guard", boottime() + 60))
        time.sleep(1)
    os._exit(0)


def take_off_parked(work: Work) -> None:
    """Remove parked addresses that something put on an interface: unheard as they are, they mislead who looks."""
    there = [held for held in addresses() if held.ip in work.policy.addresses]
    if not there:
        return
    lock = os.open(work.places.run + "/lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return  # a change is under way, perhaps the one that gives the address back
    silenced = parked()
    names = {link.index: link.name for link in links().values()}
    for held in there:
        if held.ip in silenced and held.index in names:
            remove_address(held, names[held.index])
            work.places.log(f"took {held.ip} off {names[held.index]}: it is parked")
    os.close(lock)


def unpark(places: Places, ip: str) -> int:
    """Give an address, or the leave to run a unit, back by hand while no daemon runs; the link is asked, as always."""
    work = Work(places, "unpark", boottime() + 60)
    if parking.full(ip) in parking.parking_units(work.policy):
        places.log(f"unpark {ip} by hand")
        there = parking.unpark(places, ip)
        sys.stdout.write(f"{ip} {'may be started now' if there else 'was not parked'}\n")
        return 0
    entry = work.policy.address(ip)
    places.log(f"unpark {ip} by hand")
    state = hold(work, entry, entry["prefix"])
    sys.stdout.write(json.dumps(state) + "\n")
    return 0
