"""Bringing a backup here: from another server, or back from the store; proven by its checksum to be the same."""

import os
import time

from . import restic
from .catalogue_entry import MOST_CATALOGUE_BYTES, understood
from .core import Answer, Args, Failed, Pull, Refused, content_user, name_of, parse_json, utc_text
from .reading import checksum
from .shelf import EXTENSION, Shelf
from .taking import landing, room_for, take_over


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
        with landing(shelf, "copying", content_user(work.policy)) as folder:
            _fetch(pull, shelf, folder, f"{backup}.json")
            with open(os.open(f"{folder}/{backup}.json", os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                try:
                    entry = understood(parse_json(file.read(MOST_CATALOGUE_BYTES)), shelf.name)
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
    process = pull.start(options, f"content/{name_of(shelf.folder)}/", folder)
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
