"""Fetching files from a source: as a user who may do nothing else, and each taken over once it is found right."""

import collections
import os
import re
import select
import stat
import subprocess
import time
from typing import Any, Callable, Dict, Iterable, Optional, Tuple

from .errors import Args, Failed
from .inodes import Inodes
from .manifest import Entry
from .policy import content_user, name_of
from .pull import Pull
from .releases import Releases
from .tree import Tree, sha256_of
from .words import shown
from .work import Work

ESCAPED = re.compile(rb"\\#(\d{3})")
"""How rsync writes a byte of a name that isn't for terminals."""


def unescaped(match: Any) -> bytes:
    """The byte itself."""
    return bytes([int(match.group(1), 8)])


class Fetch:
    """Of one copy: the files that are missing in what was staged."""

    def __init__(self, work: Work, releases: Releases, inodes: Inodes, args: Args) -> None:
        self.work, self.releases, self.inodes, self.args = work, releases, inodes, args
        self.files = self.bytes = 0

    def run(self, pull: Pull, tree: Tree, missing: Dict[bytes, Entry]) -> None:
        """Fetch files into a folder of the unprivileged user, and take each over as it arrives and is found right."""
        user = content_user(self.work.policy)
        os.makedirs(self.releases.incoming, mode=0o700, exist_ok=True)
        if user is not None:
            os.chown(self.releases.incoming, *user)
        incoming = Tree(self.releases.incoming)
        left = dict(missing)
        wrong: Dict[bytes, str] = {}

        def take(path: bytes) -> bool:
            """Whether nothing more is to be waited for."""
            entry = left.get(path)
            if entry is None:
                return True
            why = self._take_over(incoming, tree, path, entry, user)
            if why == "":
                return False
            if why is None:
                self.files += 1
                self.bytes += entry.size
            else:
                wrong[path] = why
            del left[path]
            return True

        try:
            for path in [path for path, info in incoming.walk() if stat.S_ISREG(info.st_mode)]:
                take(path)  # what an interrupted copy had fetched
            left.update((path, missing[path]) for path in wrong)
            wrong.clear()
            if left:
                options = ["--out-format=%n"]
                if len(left) < self.args["files"]:
                    options += ["--from0", "--no-implied-dirs", f"--files-from={pull.put_list(left)}"]
                else:
                    options += ["-r"]  # all of it: so rsync sends the first file before it has seen the last
                process = pull.start(options, f"content/{name_of(self.args['path'])}/", self.releases.incoming)
                said = self._listen(process, take)
                for path in list(left):
                    take(path)
                self._judge(process.returncode, said, left, wrong)
        finally:
            incoming.clear()
            incoming.close()
            os.rmdir(self.releases.incoming)

    def _listen(self, process: "subprocess.Popen[bytes]", take: Callable[[bytes], bool]) -> str:
        """Read what rsync says until it ends, and work on the files that it names meanwhile."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        pipe, rest, said = process.stdout.fileno(), b"", b""
        names: "collections.deque[bytes]" = collections.deque()
        ended, taken = False, 0
        while True:
            # Not before every file: rsync's pipe holds hundreds of names, and asking for more costs what a rename does.
            look = not ended and (not names or taken >= 32)
            if look and select.select([pipe], [], [], 0 if names else 0.2)[0]:
                data = os.read(pipe, 65536)
                ended = not data
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.startswith(b"rsync") or b"rsync error" in line:
                        said = (said + line + b"\n")[-4000:]
                    else:
                        names.append(ESCAPED.sub(unescaped, line) if b"\\#" in line else line)
                taken = 0
            elif names and not take(names[0]) and not ended:
                time.sleep(0.002)  # named a moment before it gets its name
                taken = 32
            elif names:
                names.popleft()
                taken = taken + 1 if taken < 32 else 1
            if not names and ended:
                break
            self.work.progress(phase="copying", files=self.files, bytes=self.bytes)
        process.stdout.close()
        process.wait()
        return said.decode("utf-8", "replace").strip()

    def _take_over(
        self, incoming: Tree, tree: Tree, path: bytes, entry: Entry, user: Optional[Tuple[int, int]]
    ) -> Optional[str]:
        """Move a fetched file into the release if it is right. None: done; "": not there yet; else: why not."""
        try:
            here, name = incoming.place(path)
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
        except OSError:
            return ""
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1 or user is not None and info.st_uid != user[0]:
            os.close(fd)
            os.unlink(
                name, dir_fd=here
            )  # or rsync would find it good: it may be ours, from a copy that was interrupted
            return "it isn't a file of its own"
        try:
            os.fchown(fd, *self.releases.owner)  # from here on the one who fetched it can't change it
            if info.st_size != entry.size or sha256_of(fd, entry.size) != entry.mark:
                os.unlink(name, dir_fd=here)
                return "its content isn't what the manifest says"
            there, _ = tree.place(path)
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
            info = os.fstat(fd)
            if info.st_mode & 0o7777 != entry.mode:  # rsync gives new files the source's, so mostly it is right
                os.fchmod(fd, entry.mode)
                info = os.fstat(fd)
            self.inodes.put(info, entry.mark)
        finally:
            os.close(fd)
        return None

    def _judge(self, code: int, said: str, left: Iterable[bytes], wrong: Dict[bytes, str]) -> None:
        """What it means that rsync ended so."""
        absent = list(left)
        if not absent and not wrong:
            return
        if "No space left" in said or "Disk quota" in said:
            raise Failed("no-space", f"the disk of {self.releases.base} is full: {said[-300:]}")
        if "Permission denied" in said:
            raise Failed("source-unreadable", f"{self.args['source']} doesn't give all of it: {said[-500:]}")
        if code not in (0, 23, 24):
            raise Failed("copy-broken", f"rsync ended with {code} and {len(absent)} files are missing: {said[-500:]}")
        named = ", ".join(shown(path) for path in (list(wrong) + absent)[:10])
        sentence = f"{len(wrong)} files changed and {len(absent)} vanished at {self.args['source']} since its manifest"
        raise Failed("changed-during-copy", f"{sentence}: {named}")
