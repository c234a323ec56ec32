"""How a backup gets in: into a folder of its own first, and under its name when it is whole and on the disk."""

import os
import stat
from contextlib import contextmanager
from typing import Iterator, Optional, Tuple

from .core import Failed, Refused, remove_tree, size_text, sync_folder
from .shelf import Shelf


@contextmanager
def landing(shelf: Shelf, what: str, owner: Optional[Tuple[int, int]]) -> Iterator[str]:
    """A folder beside the backups that only ``owner`` may enter; gone in the end, with all that is left in it."""
    shelf.prepare()
    path = f"{shelf.folder}/.{what}"
    remove_tree(path)  # changes run one at a time: what is there was left by one that was killed
    os.mkdir(path, 0o700)
    if owner is not None:
        os.chown(path, *owner)
        os.chmod(shelf.folder, 0o751)  # noqa: S103 - the owner has to pass through, and sees nothing on the way
    try:
        yield path
    finally:
        remove_tree(path)


def room_for(shelf: Shelf, needed: int) -> None:
    """Refuse now what would end with a full disk."""
    folder = shelf.folder
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if needed > free or (disk.f_files and disk.f_favail < 10):
        raise Refused(
            "no-space", f"the next backup may need {size_text(needed)}, and {folder} has {size_text(free)} free"
        )


def take_over(shelf: Shelf, file: str, path: str) -> str:
    """Make a finished file root's, bring it to the disk, and give it its name. Its folder has to be ours by now."""
    folder = os.path.dirname(file)
    os.chown(folder, 0, 0)  # whoever wrote the file can't put another one in its place from here on
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
            raise Failed("bad-backup", f"{os.path.basename(file)} isn't a file of its own")
        os.fsync(fd)
    finally:
        os.close(fd)
    shelf.give(file, 0o640)
    os.rename(file, path)
    sync_folder(shelf.folder)
    return path
