"""Making a backup: dumped or packed, read to its end, and only then given its name."""

import time

from . import restic
from .archive import pack
from .core import Answer, Args, Failed, Refused, content_user, utc_text
from .dumping import dump
from .reading import read, recognise
from .shelf import Shelf
from .taking import landing, room_for, take_over
from .tool import Unsound

SPARE = 1.2
"""Disk that the next backup may need, by the size of the last."""


def make(shelf: Shelf, args: Args) -> Answer:
    """Make a backup now, from the server that holds the role. Asked again for one that is there, it says so."""
    began, work = time.monotonic(), shelf.work
    try:
        return dict(shelf.one(args["id"]), changed=False, seconds=0.0)
    except Refused as error:
        if error.kind != "no-backup":
            raise
    taken = utc_text(time.time())
    newest = next((entry for entry in shelf.entries() if entry["bytes"]), None)
    room_for(shelf, int((newest["bytes"] if newest else 0) * SPARE))
    files = shelf.kind == "files"
    with landing(shelf, "making", content_user(work.policy) if files else None) as folder:
        if files:
            made = pack(shelf, args["source"], args.get("trees"), folder)
        else:
            made = dump(shelf, args["source"], folder)
        entry = _finished(shelf, args["id"], made, taken)
    answer: Answer = dict(entry, changed=True, seconds=time.monotonic() - began)
    if shelf.entry.get("store"):
        answer["store_problem"] = restic.put(shelf, entry)
        answer["store"] = entry.get("store")
    work.places.log("made {} of {} bytes in {:.1f} s".format(args["id"], entry["bytes"], answer["seconds"]))
    answer.pop("trees", None)
    return answer


def _finished(shelf: Shelf, backup: str, made: Answer, taken: str) -> Answer:
    """Read what was made to its end, and give it its name."""
    try:
        kind = recognise(made["file"])
        if kind.format != made["format"]:
            raise Unsound(f"it was to be {made['format']}, and is {kind.format or kind.why}")
        found = read(shelf.work, made["file"], kind)
    except Unsound as error:
        raise Failed("bad-backup", f"what was made is no good: {error}") from None
    entry: Answer = {
        "id": backup, "set": shelf.name, "kind": shelf.kind, "format": kind.format, "path": "", "made_by": "failover",
        "taken_at": taken, "finished_at": utc_text(time.time()), "verified_at": utc_text(time.time()),
        "restored_at": None, "problem": None, "store": None, "trees": made.get("trees"),
    }  # fmt: skip
    entry.update(found)
    entry["path"] = take_over(shelf, made["file"], shelf.file_of(backup, made["format"]))
    shelf.write(entry)
    return entry
