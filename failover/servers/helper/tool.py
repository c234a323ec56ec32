"""A program that reads a backup: as a user who may do nothing, from its standard input, writing no file."""

import os
import resource
import select
import signal
import stat
import subprocess
from typing import Any, Iterable, List, Tuple

from . import core
from .core import ENVIRONMENT, Refused, Work

DUMP_USER = "failover-db"
CHUNK_BYTES = 1 << 18
MOST_LINE_BYTES = 64 << 20
MOST_SAID = 2000


class Unsound(Exception):
    """The backup is no good; the sentence says why."""


def reader_of(path: str) -> Tuple[int, int]:
    """As whom a backup is read: whose the folder is, if not root's; else a user who may do nothing."""
    info = os.lstat(path)
    if stat.S_ISDIR(info.st_mode) and info.st_uid:
        return info.st_uid, info.st_gid
    return reader()


def reader() -> Tuple[int, int]:
    """Uid and gid of whom dumps are made and read as.

    Raises:
        Refused: ``no-user``.
    """
    import pwd

    for name in (DUMP_USER, "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    raise Refused("no-user", f"there is no user {DUMP_USER} on this server to read dumps as")


class Tool:
    """A program that reads a backup from its standard input, as a user who may do nothing.

    Left without an error, it has to have ended well, or the backup is unsound, with the program's own words.
    """

    def __init__(
        self, work: Work, argv: List[str], path: str, fine: Tuple[int, ...] = (0,), writes_in: str = ""
    ) -> None:
        self._work, self._argv, self._fine = work, argv, fine
        uid, gid = reader_of(path)
        if writes_in:
            os.chown(writes_in, uid, gid)
        self._input = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        is_root = os.geteuid() == 0

        def become() -> None:
            if is_root:
                os.setgroups([])
                os.setgid(gid)
                os.setuid(uid)
            core.die_with_parent()
            core._libc.prctl(core.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            if not writes_in:
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)

        try:
            self._process = subprocess.Popen(
                argv, stdin=self._input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
                cwd=writes_in or "/", preexec_fn=become,
            )  # fmt: skip
        except OSError as error:
            os.close(self._input)
            raise Refused("no-tool", f"{argv[0]} can't be run here: {core.plain(error)}") from None
        self._said = b""

    def __enter__(self) -> "Tool":
        return self

    def lines(self, work: Work) -> Iterable[bytes]:
        """What it writes, line by line, without their ends."""
        assert self._process.stdout is not None and self._process.stderr is not None  # noqa: S101, PT018 - asked for
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        rest, open_, done = b"", [out, err], 0
        while open_:
            for fd in select.select(open_, [], [], 1.0)[0]:
                data = os.read(fd, CHUNK_BYTES)
                if not data:
                    open_.remove(fd)
                elif fd == err:
                    self._said = (self._said + data)[-MOST_SAID:]
                else:
                    done += len(data)
                    *lines, rest = (rest + data).split(b"\n") if rest else data.split(b"\n")
                    for line in lines:
                        yield line
                    if len(rest) > MOST_LINE_BYTES:
                        raise Unsound(f"a line of it is longer than {MOST_LINE_BYTES} bytes")
            work.in_time()
            work.progress(phase="reading", bytes=done)
        if rest:
            yield rest

    def __exit__(self, kind: Any, *_: Any) -> None:
        os.close(self._input)
        if kind is not None:
            self._process.kill()
        code = self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None  # noqa: S101 - asked for
            pipe.close()
        if kind is None and code not in self._fine:
            words = " ".join(self._said.decode("utf-8", "replace").split())[-400:]
            name = os.path.basename(self._argv[0])
            raise Unsound(f"{name} can't read it to its end: {words or f'it ended with {code}'}")
