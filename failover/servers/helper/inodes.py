"""What files were found to contain, so that they needn't be read again."""

import os
import struct
from binascii import hexlify, unhexlify
from typing import Dict, Optional, Set, Tuple

from .files import put_file
from .policy import name_of
from .work import Work


class Inodes:
    """What files were found to contain, by inode, size and both times: what has them unchanged isn't read again.

    ctime can't be set back by whoever may write to a file, so that tampering with mtime set back is seen.
    """

    FORM = struct.Struct("<QQQQQ32s")

    def __init__(self, path: str) -> None:
        self._path = path
        self.known: Dict[Tuple[int, int], Tuple[int, int, int, bytes]] = {}
        self._changed = False
        try:
            with open(path, "rb") as file:
                data = file.read()
            for device, inode, size, mtime, ctime, mark in self.FORM.iter_unpack(data):
                self.known[device, inode] = (size, mtime, ctime, hexlify(mark))
        except (OSError, struct.error):
            self.known = {}  # a cache: without it everything is read once

    def get(self, info: os.stat_result) -> Optional[bytes]:
        """The SHA-256 of a file, if it is known."""
        known = self.known.get((info.st_dev, info.st_ino))
        if known is None or known[:3] != (info.st_size, info.st_mtime_ns, info.st_ctime_ns):
            return None
        return known[3]

    def put(self, info: os.stat_result, mark: bytes) -> None:
        """Remember what a file contains."""
        self.known[info.st_dev, info.st_ino] = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, mark)
        self._changed = True

    def save(self, live: Optional[Set[Tuple[int, int]]] = None) -> None:
        """Write it down if there is room; with ``live`` all others are forgotten when they are the more."""
        if live is not None and len(self.known) > 2 * len(live) + 1000:
            self.known = {key: value for key, value in self.known.items() if key in live}
            self._changed = True
        if self._changed:
            pack = self.FORM.pack
            data = b"".join([pack(*key, *value[:3], unhexlify(value[3])) for key, value in self.known.items()])
            try:
                os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
                put_file(self._path, data, 0o600, durable=False)
            except OSError:
                return  # everything is read again next time
            self._changed = False


def inodes_of(work: Work, path: str) -> Inodes:
    """What is known of the files of a content path, its releases among them."""
    return Inodes(f"{work.places.state}/inodes/{name_of(path)}")
