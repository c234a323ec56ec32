"""A unit that only one of two servers may run is parked: it doesn't start until the daemon lets it (I10, decision 7).

A mark in ``/run`` says so, and a drop-in makes systemd obey it: ``AssertPathExists`` turns down a start at boot, by a
timer or by hand, with a sentence in the unit's journal. Enrolling puts the drop-in under ``/etc``; where it isn't
loaded yet one is written under ``/run``. The boot guard sets the marks before anything is started.
"""

import os
from typing import Any, Dict, List, Optional

from .core import Answer, Places, Policy, Work, is_int, not_in_policy, plain

SUFFIXES = ("service", "socket", "target", "timer", "mount", "path", "slice", "scope", "swap", "automount", "device")
DROP_IN = "50-failover.conf"
"""The drop-in's name; systemd.unit(5) reads all of a unit's, in the order of their names."""
TEXT = """\
# Written by failover: of two servers only one may run this unit, and the daemon says which (its decision 7).
# By hand, while no daemon runs: /usr/libexec/failover-helper unpark {unit}
[Unit]
After=failover-guard.service
AssertPathExists=!/run/failover-helper/parked/{unit}
"""


def full(unit: str) -> str:
    """``wcm`` as systemd calls it: ``wcm.service``."""
    return unit if unit.rpartition(".")[2] in SUFFIXES and "." in unit else unit + ".service"


def settings(policy: Policy, unit: str) -> Answer:
    """What the policy says of a unit besides that it may be touched.

    Raises:
        ValueError: it says something that can't be understood.
    """
    found: Dict[str, Any] = {"pid_files": [], "ports": [], "mounts": [], "command": None, "parks": False}
    for entry in policy.services:
        if full(str(entry["unit"])) == full(unit):
            unknown = set(entry) - set(found) - {"unit"}
            if unknown:
                raise ValueError(f"{unit}: unknown key {sorted(unknown)[0]!r}")
            found.update({key: value for key, value in entry.items() if key != "unit"})
    for path in found["pid_files"] + found["mounts"]:
        Policy._path(path)
    if not all(is_int(port) and 0 < port < 65536 for port in found["ports"]):
        raise ValueError(f"{unit}: {found['ports']!r} are no TCP ports")
    if found["command"] is not None and found["command"] not in policy.commands:
        raise not_in_policy("command", str(found["command"]), policy.commands)
    return found


def parking_units(policy: Policy) -> List[str]:
    """The units that only one of two servers may run, by their full names."""
    return sorted({full(str(entry["unit"])) for entry in policy.services if entry.get("parks")})


def mark(places: Places, unit: str) -> str:
    """The file whose being there keeps a unit from starting."""
    return f"{places.run}/parked/{full(unit)}"


def parked(places: Places, unit: str, state: Answer) -> bool:
    """Whether systemd would turn down a start of it now."""
    return os.path.exists(mark(places, unit)) and any(
        os.path.basename(path) == DROP_IN for path in state["drop_ins"] or ()
    )


def set_marks(places: Places, units: List[str]) -> None:
    """Let none of these start. Raises OSError where ``/run`` takes nothing."""
    os.makedirs(places.run + "/parked", mode=0o755, exist_ok=True)
    for unit in units:
        os.close(os.open(mark(places, unit), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644))


def park(work: Work, unit: str, state: Answer) -> Optional[str]:
    """Keep it from starting from now on; None, or why that can't be done."""
    try:
        set_marks(work.places, [unit])
        if not parked(work.places, unit, state):
            folder = f"{work.places.root}/run/systemd/system/{full(unit)}.d"
            os.makedirs(folder, mode=0o755, exist_ok=True)
            with open(f"{folder}/{DROP_IN}", "w") as file:
                file.write(TEXT.format(unit=full(unit)))
            code, said = work.run(["systemctl", "daemon-reload"], within=30)
            if code:
                return f"systemd doesn't read its drop-in: {said.strip()[:300]}"
    except OSError as error:
        return plain(error)
    return None


def unpark(places: Places, unit: str) -> bool:
    """Let it start; whether it was kept from it."""
    try:
        os.unlink(mark(places, unit))
    except FileNotFoundError:
        return False
    return True
