"""A server of our own, for as long as a restore takes: a copy of a whole server is opened in it, to be dumped from.

It runs as the unprivileged user, listens on a socket in a folder that only that user can enter, and ends with us.
"""

import os
import stat
import subprocess
import time
from typing import Any, Callable, Iterator, List, Optional

from .client import Client, end, in_one_line
from .core import remove_tree
from .unfit import Disk, Unfit

START_SECONDS = 600.0
"""A copy is recovered before it answers."""
PIECE_BYTES = 1 << 20


class Scratch:
    """A folder for the copy, and the server that runs in it.

    Raises:
        Unfit: ``no-space``, ``bad-backup``.
    """

    def __init__(self, client: Client, folder: str, disk: Disk) -> None:
        self.client, self.work = client, client.work
        self.folder, self.data = folder, folder + "/data"
        remove_tree(folder)  # changes run one at a time: what is there was left by one that was killed
        os.makedirs(os.path.dirname(folder), mode=0o755, exist_ok=True)
        os.mkdir(folder, 0o700)
        client.give(folder)
        self.disk = Disk([*disk.folders, folder])
        self.process: Optional["subprocess.Popen[bytes]"] = None

    def __enter__(self) -> "Scratch":
        return self

    def stop(self) -> None:
        """End the server; nothing in it is worth a shutdown. Its copy goes, and makes room."""
        if self.process is not None:
            end(self.process)
        remove_tree(self.data)

    def __exit__(self, *_: Any) -> None:
        self.stop()
        remove_tree(self.folder)

    def fill(self, source: str) -> None:
        """Copy a backup into it. Nothing but files and folders: a symlink could lead the server anywhere."""
        os.mkdir(self.data, 0o700)
        copied = 0
        for top, folders, files in os.walk(source):
            here = self.data + top[len(source) :]
            for name in folders + files:
                if not (
                    stat.S_ISREG(os.lstat(f"{top}/{name}").st_mode) or stat.S_ISDIR(os.lstat(f"{top}/{name}").st_mode)
                ):
                    raise Unfit("bad-backup", f"{top[len(source) :]}/{name} in it is neither a file nor a folder")
            for name in folders:
                os.mkdir(f"{here}/{name}", 0o700)
                self.client.give(f"{here}/{name}")
            for name in files:
                for size in self._copy(f"{top}/{name}", f"{here}/{name}"):
                    copied += size
                    self.disk.look()
                    self.work.progress(phase="copying", bytes=copied)
        self.client.give(self.data)

    def _copy(self, source: str, target: str) -> Iterator[int]:
        """Copies a file; the bytes of each piece that is there."""
        before = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
        after = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(before, "rb") as old, open(after, "wb") as new:
            try:
                for piece in iter(lambda: old.read(PIECE_BYTES), b""):
                    new.write(piece)
                    yield len(piece)
                new.flush()
            except OSError as error:
                raise Unfit("no-space" if error.errno == 28 else "bad-backup", f"{source}: {error.strerror}") from None
            self.client.give(target)

    def put(self, name: str, text: str) -> str:
        """A settings file."""
        path = f"{self.folder}/{name}"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write(text)
        self.client.give(path)
        return path

    def run(self, argv: List[str], what: str) -> None:
        """A program that works on the copy; it has to end well.

        Raises:
            Unfit: ``bad-backup``.
        """
        process = self.client.start(argv, stdout=subprocess.DEVNULL, writes=True)
        said = self.client.pump(process, tick=self.disk.look)
        if said.code:
            raise Unfit("bad-backup", f"{what}: {in_one_line(said.err)}")

    def serve(self, argv: List[str], answers: Callable[[], bool]) -> None:
        """Start the server and wait until it answers.

        Raises:
            Unfit: ``bad-backup``: it ended, or never answered.
        """
        log = self.folder + "/log"
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb") as file:
            self.process = self.client.start([*argv], stdout=file, writes=True, stderr=file)
        until = time.monotonic() + START_SECONDS
        while not answers():
            self.disk.look()
            self.work.in_time()
            self.work.progress(phase="recovering")
            if self.process.poll() is not None or time.monotonic() > until:
                with open(log, "rb") as file:
                    words = in_one_line(file.read()[-4000:].decode("utf-8", "replace"))
                raise Unfit("bad-backup", f"the copy in it can't be opened: {words}")
            time.sleep(0.1)
