"""The verb ``backups``: what a set has on this server; make one, copy one, read one to its end, let old ones go.

A backup gets its name when it is whole: written under another name, read to its end, counted, brought to the disk,
renamed. The newest verified one is never let go, and only what this helper itself read to its end is called verified.
"""

import os
import time
from typing import Any, Dict, Optional

from . import core
from .archive import unpack
from .catalogue_entry import check_id, without_tables
from .copying import copy, fetch
from .core import Answer, Args, Refused, Verb, Work, utc_text
from .findings import finding_of, note, verify
from .making import make
from .shelf import Shelf

LIST_BUDGET = 400000


# ---------------------------------------------------------------------------------------------------------------------
# asking


def ask_backups(work: Work, args: Args) -> Answer:
    """What there is, newest first; or, with ``verify``, whether one can be read to its end."""
    shelf = Shelf(work, args["set"])
    if args.get("verify"):
        if "id" not in args:
            raise Refused("bad-request", "backups: verify needs an id")
        return verify(shelf, args["id"])
    entries = [shelf.one(args["id"])] if "id" in args else shelf.entries()
    try:
        disk = os.statvfs(shelf.folder)
        free: Optional[int] = disk.f_bavail * disk.f_frsize
    except OSError:
        free = None
    return {
        "backups": without_tables(entries, LIST_BUDGET),
        "folder": shelf.folder,
        "free_bytes": free,
        "since": shelf.since(),
    }


# ---------------------------------------------------------------------------------------------------------------------
# changing


def change_backups(work: Work, args: Args) -> Answer:
    """Bring the set to what is wanted."""
    shelf = Shelf(work, args["set"])
    want = args["want"]
    needed = {"made": ("id", "source"), "copied": ("id", "source"), "pruned": ("ids",), "unpacked": ("id", "into")}
    for key in needed.get(want, ("id",)):
        if key not in args:
            raise Refused("bad-request", f"backups {want} needs {key!r}")
    if shelf.found and want in ("made", "copied", "pruned", "fetched"):
        raise Refused("not-ours", f"other tools make the backups of {shelf.name}: here they are only read")
    if "id" in args:
        check_id(shelf.name, args["id"])
    answer: Answer = WANTS[want](shelf, args)
    return answer


def prune(shelf: Shelf, args: Args) -> Answer:
    """Let backups go; never the newest that is verified, whatever is asked for."""
    ids = [check_id(shelf.name, backup) for backup in args["ids"]]
    entries = shelf.entries()
    newest = next((e["id"] for e in entries if e["verified_at"] and not e["problem"] and e["taken_at"] <= _now()), None)
    if newest in ids:
        raise Refused("newest-verified", f"{newest} is the newest verified backup of {shelf.name}: it stays")
    if ids and newest is None:
        raise Refused("newest-verified", f"no backup of {shelf.name} is verified: all of them stay")
    there = {entry["id"] for entry in entries}
    gone = [backup for backup in ids if backup in there]
    if gone:
        shelf.work.begin()
    for backup in gone:
        shelf.work.in_time()
        shelf.remove(backup)
        for path in (finding_of(shelf, backup),):
            if os.path.exists(path):
                os.unlink(path)
    return {"pruned": gone, "left": len(there) - len(gone)}


def _now() -> str:
    return utc_text(time.time())


WANTS: Dict[str, Any] = {
    "made": make,
    "copied": copy,
    "pruned": prune,
    "noted": note,
    "fetched": fetch,
    "unpacked": unpack,
}


def _ids(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 200 and all(core.text(200)(entry) for entry in value)


def _moment(value: Any) -> bool:
    return core.text(40)(value) and len(value) >= 19


def _trees(value: Any) -> bool:
    """What the source has of each path, as its ``manifest`` said."""
    keys = {"path": core.text(4096), "digest": core.digest, "files": core.is_int, "bytes": core.is_int}
    return (
        isinstance(value, list)
        and 0 < len(value) <= 20
        and all(
            isinstance(tree, dict) and set(tree) == set(keys) and all(keys[key](tree[key]) for key in keys)
            for tree in value
        )
    )


ASKS: Dict[str, Any] = {
    "backups": Verb(ask_backups, {"set": core.text(100)}, {"id": core.text(200), "verify": core.flag})
}
CHANGES: Dict[str, Any] = {
    "backups": Verb(
        change_backups,
        {"set": core.text(100), "want": core.among(*WANTS)},
        {
            "id": core.text(200),
            "ids": _ids,
            "source": core.text(100),
            "trees": _trees,
            "into": core.text(40),
            "verified_at": _moment,
            "restored_at": _moment,
            "problem": core.text(500),
        },
    )
}
SLOW_ASKS = {"backups": 6 * 3600.0}
