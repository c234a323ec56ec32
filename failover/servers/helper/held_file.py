"""A file of somebody else's that is edited: read once, replaced once, whole or not at all, and the old one kept."""

import os
import re
import stat
from typing import Dict, List, Optional, Tuple

from .core import Failed, Refused, Work, plain, sync_folder

MOST_BYTES = 1 << 20
KEPT = 10


class Held:
    """A file that is read once and replaced once, by its folder's descriptor: a path could lead elsewhere meanwhile."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder, self.name = os.path.split(path)
        try:
            real = os.path.realpath(path)
            if real != path:
                raise Refused(
                    "symlink", f"{path} is a symlink, or lies behind one: it is {real}. Name that file in the config"
                )
            self.fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            self.data, self.info, self.more = self._read(self.name)
        except OSError as error:
            raise Refused("no-such-file", f"{path} can't be read: {plain(error)}") from None
        if self.info.st_nlink != 1:
            raise Refused("linked", f"{path} has {self.info.st_nlink} names; an edit would part them")

    def _read(self, name: str) -> Tuple[bytes, os.stat_result, Dict[str, bytes]]:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.fd)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode) or info.st_size > MOST_BYTES:
                raise Refused("no-such-file", f"{self.folder}/{name} is no regular file of up to {MOST_BYTES} bytes")
            more = {key: os.getxattr(fd, key) for key in os.listxattr(fd)}
            data = b""
            while len(data) <= MOST_BYTES:
                part = os.read(fd, MOST_BYTES)
                if not part:
                    break
                data += part
            return data, info, more
        finally:
            os.close(fd)

    def before(self, run: int) -> Optional[bytes]:
        """The file as it was before that run's first edit; None without one."""
        try:
            return self._read(f"{self.name}.before-{run}")[0]
        except FileNotFoundError:
            return None

    def kept(self) -> List[int]:
        """The runs whose files of before are there, oldest first."""
        there = (re.match(re.escape(self.name) + r"\.before-(\d+)\Z", name) for name in os.listdir(self.fd))
        return sorted(int(match.group(1)) for match in there if match)

    def replace(self, work: Work, data: bytes, run: int) -> None:
        """Put other bytes in its place, with the old ones kept beside it; whole or not at all, and durable."""
        work.begin()
        try:
            if run not in self.kept():
                self._write(f"{self.name}.before-{run}", self.data)
            self._write(self.name, data)
            for old in self.kept()[:-KEPT]:
                os.unlink(f"{self.name}.before-{old}", dir_fd=self.fd)
            sync_folder(self.folder)
        except OSError as error:
            raise Failed("not-written", f"{self.path} can't be written: {plain(error)}") from None

    def _write(self, name: str, data: bytes) -> None:
        draft = f".{self.name}.failover-new"
        try:
            os.unlink(draft, dir_fd=self.fd)  # of a helper that was killed
        except FileNotFoundError:
            pass
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=self.fd)
        try:
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fchown(fd, self.info.st_uid, self.info.st_gid)
                os.fchmod(fd, stat.S_IMODE(self.info.st_mode))
                self._label(fd)
                os.fsync(fd)
            now = os.stat(self.name, dir_fd=self.fd, follow_symlinks=False)
            if (now.st_ino, now.st_mtime_ns, now.st_size) != (
                self.info.st_ino,
                self.info.st_mtime_ns,
                self.info.st_size,
            ):
                raise Failed(
                    "changed-meanwhile", f"somebody else wrote {self.path} at this moment; it is left as it is"
                )
            os.rename(draft, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException:
            try:
                os.unlink(draft, dir_fd=self.fd)
            except OSError:
                pass  # it has its name already, or nothing can be written there any more
            raise

    def _label(self, fd: int) -> None:
        """The same ACLs, label and other extended attributes, or no edit at all."""
        for key, value in self.more.items():
            if key not in os.listxattr(fd) or os.getxattr(fd, key) != value:
                try:
                    os.setxattr(fd, key, value)
                except OSError as error:
                    raise Failed("label-lost", f"{self.path}: {key} can't be kept: {plain(error)}") from None
        for key in set(os.listxattr(fd)) - set(self.more):
            os.removexattr(fd, key)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self.fd)
