"""The verb ``backups``: what a set has on this server; make one, copy one, read one to its end, let old ones go.

A backup gets its name when it is whole: written under another name, read to its end, counted, brought to the disk,
renamed. The newest verified one is never let go, and only what this helper itself read to its end is called verified.
"""

import json
import os
import time
from typing import Any, Dict, Optional

from . import core, restic
from .archive import pack, unpack
from .core import Answer, Args, Failed, Pull, Refused, Verb, Work, parse_json, put_file, utc_text
from .dumping import dump
from .reading import checksum, read, recognise
from .shelf import EXTENSION, MOST_CATALOGUE_BYTES, Shelf, understood, without_tables
from .taking import landing, room_for, take_over
from .tool import Unsound

LIST_BUDGET = 400000
SPARE = 1.2
"""Disk that the next backup may need, by the size of the last."""


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
    _keep_finding(shelf, backup, answer, before)
    return answer


def _stamp(path: str) -> Optional[Any]:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]


def _finding(shelf: Shelf, backup: str) -> str:
    return f"{shelf.notes}/{backup}.read"


def _keep_finding(shelf: Shelf, backup: str, answer: Answer, stamp: Any) -> None:
    data = json.dumps({"answer": answer, "stamp": stamp, "at": utc_text(time.time())}).encode()
    try:
        os.makedirs(shelf.notes, mode=0o750, exist_ok=True)
        put_file(_finding(shelf, backup), data, 0o640, durable=False)
    except OSError:
        pass  # it can't be noted then, and is read again


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
        shelf.check_id(args["id"])
    answer: Answer = WANTS[want](shelf, args)
    return answer


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
    with landing(shelf, "making", core.content_user(work.policy) if files else None) as folder:
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


def copy(shelf: Shelf, args: Args) -> Answer:
    """Pull a backup from the server that has it, and prove by its checksum that it is the same."""
    began, work, backup = time.monotonic(), shelf.work, args["id"]
    try:
        return dict(shelf.one(backup), changed=False, seconds=0.0)
    except Refused as error:
        if error.kind != "no-backup":
            raise
    pull = Pull(work, args["source"])
    try:
        pull.ready()
        shelf.prepare()
        work.begin()
        with landing(shelf, "copying", core.content_user(work.policy)) as folder:
            _fetch(pull, shelf, folder, f"{backup}.json")
            with open(os.open(f"{folder}/{backup}.json", os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                try:
                    entry = understood(parse_json(file.read(MOST_CATALOGUE_BYTES)), shelf)
                except ValueError as error:
                    raise Failed("bad-catalogue", "what {} says of it: {}".format(args["source"], error)) from None
            if entry["id"] != backup or not entry["sha256"] or entry["format"] not in EXTENSION:
                raise Failed("bad-catalogue", "{} says of {} what can't be used".format(args["source"], backup))
            room_for(shelf, entry["bytes"])
            name = os.path.basename(shelf.file_of(backup, entry["format"]))
            _fetch(pull, shelf, folder, name)
            found = checksum(work, f"{folder}/{name}")
            for key in ("bytes", "sha256"):
                if found[key] != entry[key]:
                    raise Failed("bad-copy", f"its {key} is {found[key]}, and {args['source']} has {entry[key]}")
            path = take_over(shelf, f"{folder}/{name}", shelf.file_of(backup, entry["format"]))
    finally:
        pull.close()
    entry.update(path=path, verified_at=utc_text(time.time()), restored_at=None, problem=None, store=None)
    shelf.write(entry)
    entry.pop("trees", None)
    return dict(entry, changed=True, source=args["source"], seconds=time.monotonic() - began)


def _fetch(pull: Pull, shelf: Shelf, folder: str, name: str) -> None:
    listed = pull.put_list([os.fsencode(name)])
    options = ["--from0", "--no-implied-dirs", f"--files-from={listed}"]
    process = pull.start(options, f"content/{core.name_of(shelf.folder)}/", folder)
    said = b""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    for line in process.stdout:
        said = (said + line)[-2000:]
        shelf.work.in_time()
    process.stdout.close()
    if process.wait() or not os.path.isfile(f"{folder}/{name}"):
        words = " ".join(said.decode("utf-8", "replace").split())[-400:]
        kind = "no-space" if "No space left" in words else "copy-broken"
        raise Failed(kind, f"{name} couldn't be pulled: {words or 'rsync ended with {}'.format(process.returncode)}")


def prune(shelf: Shelf, args: Args) -> Answer:
    """Let backups go; never the newest that is verified, whatever is asked for."""
    ids = [shelf.check_id(backup) for backup in args["ids"]]
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
        for path in (_finding(shelf, backup),):
            if os.path.exists(path):
                os.unlink(path)
    return {"pruned": gone, "left": len(there) - len(gone)}


def _now() -> str:
    return utc_text(time.time())


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
        with open(_finding(shelf, entry["id"]), "rb") as file:
            found: Answer = parse_json(file.read(MOST_CATALOGUE_BYTES))
    except (OSError, ValueError):
        return None
    return found if found["stamp"] == _stamp(entry["path"]) else None


def fetch(shelf: Shelf, args: Args) -> Answer:
    """Bring a backup back from the store."""
    began = time.monotonic()
    entry = shelf.one(args["id"])
    if not entry["problem"] and os.path.isfile(entry["path"]):
        return dict(entry, changed=False, seconds=0.0)
    shelf.work.begin()
    with landing(shelf, "fetching", None) as folder:
        file = restic.get(shelf, entry, folder)
        found = checksum(shelf.work, file)
        for key in ("bytes", "sha256"):
            if found[key] != entry[key] and not (key == "bytes" and entry["problem"]):
                raise Failed("bad-copy", "its {} is {}, and was {}".format(key, found[key], entry[key]))
        take_over(shelf, file, entry["path"])
    entry.update(problem=None, bytes=found["bytes"], verified_at=utc_text(time.time()))
    shelf.write(entry)
    entry.pop("trees", None)
    return dict(entry, changed=True, seconds=time.monotonic() - began)


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
