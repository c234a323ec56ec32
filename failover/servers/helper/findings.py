"""What reading a backup to its end came to, kept beside it: nobody can call verified what never was."""

import json
import os
import time
from typing import Any, Optional

from .catalogue_entry import MOST_CATALOGUE_BYTES
from .core import Answer, Args, Refused, parse_json, put_file, utc_text
from .reading import read, recognise
from .shelf import Shelf
from .tool import Unsound


def verify(shelf: Shelf, backup: str) -> Answer:
    """Read a backup to its end. What was found is kept, so that ``noted`` can't call verified what never was."""
    began = time.monotonic()
    entry = shelf.one(backup)
    before = _stamp(entry["path"])
    answer: Answer = {"sound": False, "why": "", "id": backup}
    try:
        if before is None:
            raise Unsound("its file is gone")
        kind = recognise(entry["path"])
        if entry["format"] not in (None, kind.format):
            raise Unsound(f"its format was {entry['format']}, and is {kind.format or kind.why}")
        found = read(shelf.work, entry["path"], kind)
        for key in ("sha256", "bytes"):
            if entry[key] and entry["sha256"] and found[key] != entry[key]:
                raise Unsound(f"its {key} was {entry[key]}, and is {found[key]}")
        if entry["tables"] is not None and found["tables"] is not None and entry["tables"] != found["tables"]:
            raise Unsound("its rows aren't those that were counted when it was made")
        answer.update(found, sound=True, format=kind.format)
    except Unsound as error:
        answer["why"] = str(error)
    if _stamp(entry["path"]) != before:
        raise Refused("changed-meanwhile", f"{backup} was written to while it was read")
    answer["seconds"] = time.monotonic() - began
    _keepfinding_of(shelf, backup, answer, before)
    return answer


def _stamp(path: str) -> Optional[Any]:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]


def finding_of(shelf: Shelf, backup: str) -> str:
    """The file in which what reading a backup came to is kept."""
    return f"{shelf.notes}/{backup}.read"


def _keepfinding_of(shelf: Shelf, backup: str, answer: Answer, stamp: Any) -> None:
    data = json.dumps({"answer": answer, "stamp": stamp, "at": utc_text(time.time())}).encode()
    try:
        os.makedirs(shelf.notes, mode=0o750, exist_ok=True)
        put_file(finding_of(shelf, backup), data, 0o640, durable=False)
    except OSError:
        pass  # it can't be noted then, and is read again


def note(shelf: Shelf, args: Args) -> Answer:
    """Write down that a backup was verified, restored, or found to be no good."""
    entry = shelf.one(args["id"])
    if not {"verified_at", "restored_at", "problem"} & set(args):
        raise Refused("bad-request", "backups noted needs verified_at, restored_at or problem")
    if "verified_at" in args:
        found = _found_before(shelf, entry)
        if found is None:
            raise Refused("not-verified", "{} wasn't read to its end since it was written".format(args["id"]))
        if found["answer"]["sound"]:
            told = ("sha256", "engine", "format", "server_version", "tool_version", "tables")
            entry.update({key: found["answer"][key] for key in told if found["answer"].get(key) is not None})
            entry.update(verified_at=found["at"], problem=None)
        else:
            entry.update(problem=found["answer"]["why"])
    if "restored_at" in args:
        entry["restored_at"] = args["restored_at"]
    if "problem" in args:
        entry["problem"] = args["problem"]
    shelf.work.begin()
    shelf.write(entry)
    entry.pop("trees", None)
    return entry


def _found_before(shelf: Shelf, entry: Answer) -> Optional[Answer]:
    """What reading the backup came to, if it is as it was then."""
    try:
        with open(finding_of(shelf, entry["id"]), "rb") as file:
            found: Answer = parse_json(file.read(MOST_CATALOGUE_BYTES))
    except (OSError, ValueError):
        return None
    return found if found["stamp"] == _stamp(entry["path"]) else None
