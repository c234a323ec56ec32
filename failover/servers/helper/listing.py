"""A tree as it is now, read where something changed."""

import errno
import hashlib
import os
import stat
import time
from typing import Dict, Iterable, List, Optional, Set, Tuple

from .errors import Answer, Refused
from .inodes import Inodes
from .manifest import Manifest, stays_inside
from .tree import Tree, sha256_of
from .words import plain, shown
from .work import Work

MAX_ENTRIES = 5000000
MAX_SKIPPED = 100
RACY_SECONDS = 2.0
"""A file changed this shortly before it was read may change again with the same times: it isn't remembered."""


KIND = {stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class Listing:
    """A tree as it is now, as the records of a manifest, and what of it isn't content.

    With ``owner`` it is a tree that we made: whatever isn't exactly as we make things has no record.
    """

    def __init__(self, work: Work, tree: Tree, inodes: Inodes, owner: Optional[Tuple[int, int]] = None) -> None:
        self.skipped: List[Answer] = []
        self.skipped_count = 0
        self.newest_mtime = 0.0
        self.live: Set[Tuple[int, int]] = set()
        self.paths: Dict[bytes, Tuple[Optional[bytes], bool]] = {}
        """Every path with its record, if it has one, and whether it is a folder; parents before children."""
        settled = (time.time() - RACY_SECONDS) * 1e9
        special = 0o7777 if owner is not None else 0o777
        unread: List[Tuple[bytes, os.stat_result]] = []
        records = [b"d %o 0 - ." % (os.fstat(tree.top).st_mode & 0o777)]
        paths, known, live = self.paths, inodes.known, self.live
        for path, info in tree.walk():
            mode = info.st_mode
            kind = mode & 0o170000
            record: Optional[bytes] = None
            if owner is not None and (info.st_uid, info.st_gid) != owner:
                pass
            elif kind == stat.S_IFREG:
                if info.st_mtime > self.newest_mtime:
                    self.newest_mtime = info.st_mtime
                if mode & 0o7000:
                    self._skip(path, "its setuid, setgid or sticky bit isn't copied")
                key = (info.st_dev, info.st_ino)
                live.add(key)
                found = known.get(key)
                if found is None or found[:3] != (info.st_size, info.st_mtime_ns, info.st_ctime_ns):
                    unread.append((path, info))
                else:
                    record = b"f %o %d %s %s" % (mode & special, info.st_size, found[3], path)
            elif kind == stat.S_IFDIR:
                record = b"d %o 0 - %s" % (mode & special, path)
            elif kind == stat.S_IFLNK:
                fd, name = tree.place(path)
                target = os.readlink(name, dir_fd=fd)
                if stays_inside(path, target):
                    record = b"l 777 0 - %s//%s" % (path, target)
                else:
                    self._skip(path, f"the symlink leaves the tree: {shown(target)}")
            else:
                self._skip(path, f"it is {KIND.get(kind, 'nothing to copy')}")
            paths[path] = (record, kind == stat.S_IFDIR)
            if len(paths) > MAX_ENTRIES:
                raise Refused("too-many-files", f"{tree.path} has more than {MAX_ENTRIES} entries")
        self.read = len(unread)
        for done, (path, info, mark) in enumerate(hashed(tree, unread), 1):
            if mark is None:
                continue
            paths[path] = (b"f %o %d %s %s" % (info.st_mode & special, info.st_size, mark, path), False)
            if owner is not None or max(info.st_mtime_ns, info.st_ctime_ns) < settled:
                inodes.put(info, mark)
            work.progress(phase="reading", files=done, of=len(unread))
        records += [record for record, _ in paths.values() if record is not None]
        self.manifest = Manifest(records)

    def _skip(self, path: bytes, why: str) -> None:
        self.skipped_count += 1
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append({"path": shown(path), "why": why})

    @property
    def digest(self) -> str:
        """Of the manifest."""
        return hashlib.sha256(self.manifest.text()).hexdigest()


def hashed(
    tree: Tree, files: List[Tuple[bytes, os.stat_result]]
) -> Iterable[Tuple[bytes, os.stat_result, Optional[bytes]]]:
    """Each file with what it was when it was read, and its SHA-256; None when it vanished or isn't a file any more."""
    for path, _ in files:
        for attempt in range(3):
            try:
                fd = tree.read(path)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EPERM):
                    raise Refused("unreadable", f"{shown(path)} can't be read: {plain(error)}") from None
                yield path, os.fstat(tree.top), None
                break
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                os.close(fd)
                yield path, before, None
                break
            try:
                mark = sha256_of(fd, before.st_size)
                after = os.fstat(fd)
            finally:
                os.close(fd)
            if attempt == 2 or (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                yield path, after, mark  # written to all the while: the copy's own check will say so
                break
