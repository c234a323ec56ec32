"""What a tree contains, in one canonical form."""

import re
from typing import Iterable, List, NamedTuple, Tuple

MANIFEST_HEAD = b"failover manifest 1"
FILE, FOLDER, SYMLINK = "f", "d", "l"
Entry = NamedTuple("Entry", [("kind", str), ("mode", int), ("size", int), ("mark", bytes)])
"""One path of a manifest. ``mark`` is a file's SHA-256, a symlink's target."""


class Manifest:
    """What a tree contains, in one canonical form: the same content gives the same bytes on every server.

    One record a path, ``KIND MODE SIZE SHA256 PATH`` and for a symlink ``l 777 0 - PATH//TARGET``, sorted by their
    bytes and each ended by NUL. Two trees are compared as sets of records, which takes milliseconds.
    """

    def __init__(self, records: Iterable[bytes]) -> None:
        self.records = frozenset(records)
        sizes = [int(record.split(b" ", 3)[2]) for record in self.records if record[:1] == b"f"]
        self.files, self.bytes = len(sizes), sum(sizes)

    @property
    def top(self) -> List[bytes]:
        """The record of the tree's own folder: one, in a manifest that was checked."""
        return [record for record in self.records if record[-2:] == b" ." and record[:1] == b"d"]

    def text(self) -> bytes:
        """The canonical form."""
        return b"\0".join([MANIFEST_HEAD] + sorted(self.records) + [b""])

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Read what :meth:`text` wrote.

        Raises:
            ValueError: it isn't that.
        """
        head, *records = text.split(b"\0")
        if head != MANIFEST_HEAD or not records or records.pop():
            raise ValueError("it is no manifest of this version, or not whole")
        return cls(records)

    def check(self, known: Iterable[bytes]) -> None:
        """Refuse what another server must not make us write; ``known`` records were found on a disk of ours.

        Raises:
            ValueError: a path or symlink that leaves the tree, a path twice or in no folder, a strange mode.
        """
        for record in self.records.difference(known):
            if not RECORD.match(record):
                raise ValueError(f"{record[:200]!r} is no record")
            path, entry = entry_of(record)
            names = path.split(b"/")
            if path != b"." and (b"" in names or b"." in names or b".." in names or len(path) > 4096):
                raise ValueError(f"{path!r} leaves the tree")
            if entry.kind == SYMLINK and not stays_inside(path, entry.mark):
                raise ValueError(f"the symlink {path!r} leaves the tree: {entry.mark!r}")
        paths = [record.split(b" ", 4)[4].partition(b"//")[0] for record in self.records]
        folders = {record.split(b" ", 4)[4] for record in self.records if record[:1] == b"d"}
        if len(set(paths)) != len(paths) or b"." not in folders:
            raise ValueError("it has a path twice, or no top")
        for above in {path.rpartition(b"/")[0] or b"." for path in paths} - folders:
            raise ValueError(f"{above!r} is no folder, and yet something lies in it")


RECORD = re.compile(rb"(?:f [0-7]{1,3} \d{1,18} [0-9a-f]{64}|d [0-7]{1,3} 0 -|l 777 0 -) (?s:.+)\Z")


def entry_of(record: bytes) -> Tuple[bytes, Entry]:
    """A record taken apart."""
    kind, mode, size, mark, path = record.split(b" ", 4)
    if kind == b"l":
        path, _, mark = path.partition(b"//")
    return path, Entry(kind.decode(), int(mode, 8), int(size), mark)


def stays_inside(path: bytes, target: bytes) -> bool:
    """Whether a symlink can't lead out of its tree: relative, and going up only at its start, no further than the top.

    Its own folders are real ones, and every other symlink of the tree obeys the same rule: the way down stays inside.
    """
    names = target.split(b"/")
    ups = 0
    while ups < len(names) and names[ups] == b"..":
        ups += 1
    return bool(target) and names[0] != b"" and b".." not in names[ups:] and ups <= path.count(b"/")
