"""What systemd says of units."""

import time
from typing import Dict, List

from .errors import Answer, Refused
from .words import plain
from .work import Work

SYSTEMD = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "StateChangeTimestampMonotonic",
    "MainPID",
    "Result",
    "Job",
    "FragmentPath",
    "DropInPaths",
    "ExecStart",
)


def units_state(work: Work, units: List[str]) -> Dict[str, Answer]:
    """What systemd says of units.

    Raises:
        Refused: ``no-systemd``.
    """
    if not units:
        return {}
    try:
        code, said = work.run(["systemctl", "show", "--no-pager", "-p", ",".join(SYSTEMD), "--"] + units)
    except OSError as error:
        code, said = 1, plain(error)
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in said.split("\n\n")]
    if code or len(blocks) != len(units):
        raise Refused(
            "no-systemd", "systemctl doesn't say how {} stand: {}".format(", ".join(units), said.strip()[:300])
        )
    found = {}
    for unit, block in zip(units, blocks):  # noqa: B905 - as many, see above; strict= came with 3.10
        changed = int(block.get("StateChangeTimestampMonotonic") or 0) / 1e6
        found[unit] = {
            "load": block.get("LoadState"),
            "active": block.get("ActiveState"),
            "sub": block.get("SubState"),
            "enabled": block.get("UnitFileState") or None,
            "since": time.time() - time.monotonic() + changed if changed else None,
            "main_pid": int(block.get("MainPID") or 0) or None,
            "result": block.get("Result"),
            "job": block.get("Job") or None,
            "fragment": block.get("FragmentPath") or None,
            "drop_ins": (block.get("DropInPaths") or "").split(),
            "exec": block.get("ExecStart") or None,
        }
    return found
