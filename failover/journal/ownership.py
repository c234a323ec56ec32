"""One process owns a journal, and keeps a little disk space back for the day on which there is none."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from failover.errors import JournalUnwritable


class Ownership:
    """An exclusive ``flock`` beside the journal; it ends with the process, however that ends.

    The lock has a file of its own: closing any descriptor of the database itself would drop SQLite's own locks in this
    process (POSIX advisory locks, fcntl(2)).

    Raises:
        JournalUnwritable: another process has it, or the folder can't be written.
    """

    def __init__(self, journal: Path) -> None:
        path = journal.with_name(journal.name + ".lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalUnwritable(f"{path} can't be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            owner = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise JournalUnwritable(
                f"{journal} is in use by process {owner or 'unknown'}: one failover owns a journal at a time"
            ) from error
        except OSError:
            pass  # the lock is held; a full disk only costs the process id, which is for people

    def give_up(self) -> None:
        """Let another process have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Ballast:
    """Disk space kept back in a file, so that a run under way can still write its intents when the disk is full.

    It is thrown out slice by slice, because whatever filled the disk takes what is freed at once.
    """

    def __init__(self, journal: Path, size_bytes: int, slice_bytes: int = 16 * 1024) -> None:
        self._path = journal.with_name(journal.name + ".ballast")
        self._size = size_bytes
        self._slice = slice_bytes

    @property
    def left_bytes(self) -> int:
        """What can still be thrown out."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def take_in(self) -> bool:
        """Fill it up; False when the disk has no room for it, which then keeps what it has."""
        left = self.left_bytes
        if left >= self._size:
            return True
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, left, self._size - left)
        except OSError:
            os.ftruncate(descriptor, left)
            return False
        finally:
            os.close(descriptor)
        return True

    def throw_out(self) -> bool:
        """Free one slice; False when nothing is left to free."""
        left = self.left_bytes
        if not left:
            return False
        try:
            os.truncate(self._path, max(0, left - self._slice))
        except OSError:
            return False
        return True
