"""A folder and all under it, reached by descriptors."""

import collections
import hashlib
import os
import stat
from typing import Iterable, Optional, Tuple


class Tree:
    """A folder and all under it, reached by descriptors: no symlink on the way is followed, whoever puts one there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._open: "collections.OrderedDict[bytes, int]" = collections.OrderedDict()

    def folder(self, path: bytes) -> int:
        """A descriptor of a folder in the tree, good until two hundred others were asked for."""
        if not path:
            return self.top
        fd = self._open.get(path)
        if fd is None:
            above, _, name = path.rpartition(b"/")
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.folder(above))
            self._open[path] = fd
            if len(self._open) > 200:
                os.close(self._open.popitem(last=False)[1])
        return fd

    def forget(self) -> None:
        """Close the folders kept open; to be done when folders were removed."""
        while self._open:
            os.close(self._open.popitem()[1])

    def close(self) -> None:
        """Let go of everything."""
        self.forget()
        os.close(self.top)

    def place(self, path: bytes) -> Tuple[int, bytes]:
        """The folder of a path, and its name in there."""
        above, _, name = path.rpartition(b"/")
        return self.folder(above), name

    def walk(self) -> Iterable[Tuple[bytes, os.stat_result]]:
        """Every path with what it is, parents before children; not the top, nor what vanishes meanwhile."""
        left = [b""]
        while left:
            above = left.pop()
            try:
                fd = self.folder(above)
                names = os.listdir(b"/proc/self/fd/%d" % fd)  # by this name it gives bytes
            except OSError:
                continue  # it vanished, or a symlink took its place
            start = above + b"/" if above else b""
            for name in names:
                try:
                    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                path = start + name
                yield path, info
                if stat.S_ISDIR(info.st_mode):
                    left.append(path)

    def read(self, path: bytes) -> int:
        """A descriptor to read a regular file from; never waits for the writer of a fifo."""
        fd, name = self.place(path)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)

    def stat(self, path: bytes) -> Optional[os.stat_result]:
        """What is there, if anything."""
        try:
            fd, name = self.place(path)
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            return None

    def remove(self, path: bytes, is_folder: bool) -> None:
        """Remove one file, or one folder that is empty."""
        fd, name = self.place(path)
        if is_folder:
            os.rmdir(name, dir_fd=fd)
        else:
            os.unlink(name, dir_fd=fd)

    def clear(self) -> None:
        """Remove all that is in it."""
        found = [(path, stat.S_ISDIR(info.st_mode)) for path, info in self.walk()]
        for path, is_folder in reversed(found):
            self.remove(path, is_folder)
        self.forget()


def remove_tree(path: str) -> None:
    """Remove a folder with everything in it, if it is there."""
    try:
        tree = Tree(path)
    except FileNotFoundError:
        return
    tree.clear()
    tree.close()
    os.rmdir(path)


def sha256_of(fd: int, size: int) -> bytes:
    """Of what can be read from a descriptor, in hexadecimal; ``size`` is the file's as it was just now."""
    data = os.read(fd, 1 << 18)
    found = hashlib.sha256(data)
    if len(data) == size < 1 << 18:
        return found.hexdigest().encode()  # a small file, read whole: no second read to learn that
    while data:
        data = os.read(fd, 1 << 18)
        found.update(data)
    return found.hexdigest().encode()
