"""Archives of folders of another server: pulled as content is, proven by their manifests, packed as one tar.gz."""

import hashlib
import io
import json
import os
import re
import tarfile
import time
from typing import Any, BinaryIO, Dict, List, Optional

from . import core
from .core import (
    FILE,
    FOLDER,
    Answer,
    Args,
    Entry,
    Failed,
    Inodes,
    Listing,
    Manifest,
    Pull,
    Refused,
    Tree,
    content_user,
    entry_of,
    name_of,
    remove_tree,
    shown,
    utc_text,
)
from .reading import MANIFEST_MEMBER
from .shelf import Shelf
from .taking import room_for
from .tool import Tool, Unsound

SCRATCH = ".scratch"


class _Proven:
    """A file that is hashed while tar reads it."""

    def __init__(self, fd: int) -> None:
        self._file: BinaryIO = os.fdopen(fd, "rb")
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data

    def close(self) -> None:
        self._file.close()


def pack(shelf: Shelf, source: str, trees: Optional[List[Answer]], folder: str) -> Answer:
    """Pull what the source has of the set's paths, and pack it. ``trees`` is what its ``manifest`` said of each."""
    work = shelf.work
    paths = [str(path) for path in shelf.entry.get("paths", [])]
    if trees is None or sorted(tree["path"] for tree in trees) != sorted(paths):
        named = ", ".join(tree["path"] for tree in trees or []) or "none"
        raise Refused("not-in-policy", f"the set {shelf.name} is of {', '.join(paths)}, not of {named}")
    room_for(shelf, 2 * sum(tree["bytes"] for tree in trees))
    pull = Pull(work, source)
    try:
        pull.ready()
        manifests = [_manifest(pull, source, tree) for tree in trees]
        work.begin()
        for number, tree in enumerate(trees):
            _fetch(shelf, pull, source, tree["path"], f"{folder}/{number}")
    finally:
        pull.close()
    os.chown(folder, 0, 0)  # what was fetched can't be changed by its fetcher from here on
    file = f"{folder}/archive"
    _write(shelf, source, trees, manifests, folder, file)
    for number in range(len(trees)):
        remove_tree(f"{folder}/{number}")
    return {"file": file, "format": "tar.gz", "trees": trees}


def _manifest(pull: Pull, source: str, tree: Answer) -> Manifest:
    text = pull.manifest(tree["digest"], (64 << 20) + 5000 * tree["files"])
    try:
        manifest = Manifest.parse(text)
        manifest.check(())
    except ValueError as error:
        raise Refused("bad-manifest", f"the manifest of {tree['path']} of {source} can't be used: {error}") from None
    return manifest


def _fetch(shelf: Shelf, pull: Pull, source: str, path: str, target: str) -> None:
    os.mkdir(target, 0o700)
    user = content_user(shelf.work.policy)
    if user is not None:
        os.chown(target, *user)
    process = pull.start(["-r"], f"content/{name_of(path)}/", target)
    assert process.stdout is not None  # noqa: S101 - it was asked for
    said = b""
    for line in process.stdout:
        if b"skipping non-regular file" not in line:  # symlinks are made from the manifest
            said = (said + line)[-2000:]
        shelf.work.in_time()
        shelf.work.progress(phase="copying", path=path)
    process.stdout.close()
    if process.wait() in (0, 24):
        return
    words = " ".join(said.decode("utf-8", "replace").split())[-500:]
    if "Permission denied" in words:
        who = shelf.work.policy.content_user
        raise Failed("source-unreadable", f"{who} may not read all of {path} on {source}: {words}")
    kind = "no-space" if "No space left" in words else "copy-broken"
    words = words or f"rsync ended with {process.returncode}"
    raise Failed(kind, f"{path} of {source} couldn't be pulled: {words}")


def _write(shelf: Shelf, source: str, trees: List[Answer], manifests: List[Manifest], folder: str, file: str) -> None:
    """The archive: first what it is to hold, then each path's entries as the manifest has them, each file proven."""
    entries = sum(len(manifest.records) for manifest in manifests)
    about = {
        "set": shelf.name,
        "source": source,
        "packed_at": utc_text(time.time()),
        "entries": entries,
        "trees": trees,
    }
    with tarfile.open(file, "x:gz", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as archive:
        text = json.dumps(about, indent=1).encode()
        head = tarfile.TarInfo(MANIFEST_MEMBER)
        head.size, head.mode, head.mtime = len(text), 0o644, int(time.time())
        archive.addfile(head, io.BytesIO(text))
        for number, (tree, manifest) in enumerate(zip(trees, manifests)):  # noqa: B905 - strict came with Python 3.10
            there = Tree(f"{folder}/{number}")
            try:
                for path, entry in sorted(map(entry_of, manifest.records)):
                    shelf.work.in_time()
                    _add(archive, there, tree["path"], path, entry)
                    shelf.work.progress(phase="packing", bytes=archive.offset)
            finally:
                there.close()


def _add(archive: Any, there: Tree, top: str, path: bytes, entry: Entry) -> None:
    name = top[1:] if path == b"." else f"{top[1:]}/{os.fsdecode(path)}"
    info = tarfile.TarInfo(name)
    info.mode, info.uname, info.gname = entry.mode, "root", "root"
    if entry.kind == FOLDER:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        return
    if entry.kind != FILE:
        info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(entry.mark)
        archive.addfile(info)
        return
    try:
        fd = there.read(path)
    except OSError as error:
        raise Failed("changed-during-copy", f"{top}/{shown(path)} didn't come: {core.plain(error)}") from None
    file = _Proven(fd)
    try:
        found = os.fstat(fd)
        info.size, info.mtime = entry.size, int(found.st_mtime)
        if found.st_size != entry.size:
            raise Failed("changed-during-copy", f"{top}/{shown(path)} has {found.st_size} bytes, not {entry.size}")
        archive.addfile(info, file)
        if file.digest.hexdigest().encode() != entry.mark:
            raise Failed("changed-during-copy", f"the content of {top}/{shown(path)} isn't what the manifest says")
    finally:
        file.close()


def unpack(shelf: Shelf, args: Args) -> Answer:
    """Unpack an archive beside the backups and compare all of it with the manifests that it was packed by."""
    began, into = time.monotonic(), args["into"]
    if not re.match(r"[a-z0-9][a-z0-9_-]{0,39}\Z", into):
        raise Refused("bad-request", f"{into!r} is no name for a scratch folder: a-z, 0-9, - and _")
    entry = shelf.one(args["id"])
    if entry["format"] != "tar.gz":
        raise Refused("not-files", f"{entry['id']} is no archive of files; a database's is restored by 'database'")
    if entry["problem"]:
        raise Refused("bad-backup", f"{entry['id']}: {entry['problem']}")
    base = shelf.work.places.state + "/scratch" if shelf.found else f"{shelf.folder}/{SCRATCH}"
    target = f"{base}/{into}"
    room_for(shelf, 3 * entry["bytes"])
    shelf.work.begin()
    os.makedirs(base, mode=0o700, exist_ok=True)
    remove_tree(target)
    os.mkdir(target, 0o700)
    try:
        with Tool(shelf.work, ["tar", "-xpzf", "-", "--no-same-owner"], entry["path"], writes_in=target) as tool:
            for _ in tool.lines(shelf.work):
                pass
    except Unsound as error:
        remove_tree(target)
        raise Failed("bad-backup", f"{args['id']}: {error}") from None
    os.chown(target, 0, 0)
    answer: Answer = {"folder": target, "files": 0, "bytes": 0}
    trees: List[Dict[str, Any]] = entry.get("trees") or []
    for tree in trees:
        there = Tree(target + tree["path"])
        try:
            listing = Listing(shelf.work, there, Inodes("/nonexistent"))
        finally:
            there.close()
        if listing.digest != tree["digest"]:
            raise Failed("unequal", f"{tree['path']} of {args['id']} doesn't unpack to what was packed")
        answer["files"] += listing.manifest.files
        answer["bytes"] += listing.manifest.bytes
    answer.update(compared=len(trees), seconds=time.monotonic() - began)
    return answer
