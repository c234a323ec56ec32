"""A database's client programs, run as a user who may do nothing else on this server, with the password in a file."""

import fcntl
import os
import pwd
import re
import resource
import select
import signal
import subprocess
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from . import core
from .core import ENVIRONMENT, TOOL_SECONDS, Failed, Refused, Work, end_work, put_file, remove_tree

CHUNK_BYTES = 1 << 18
MOST_SAID = 8000
LOOK_SECONDS = 0.02
"""A restore writes hundreds of megabytes a second, and is to end with some dozens left."""
DATABASE_USER = "failover-db"

Said = NamedTuple("Said", [("code", int), ("out", str), ("err", str)])


def trouble(work: Work, kind: str, sentence: str) -> Refused:
    """The error for something that went wrong: refused while nothing was touched, failed from then on."""
    return (Failed if work.began else Refused)(kind, sentence)


def in_one_line(text: str, most: int = 400) -> str:
    """What a program said, for a sentence: its end, in one line."""
    words = " ".join(text.split())
    return words if len(words) <= most else "..." + words[-most:]


class Client:
    """Starts them. What it writes lies in a folder of its own, which is gone when it is closed.

    A program may not gain privileges, write no file unless told otherwise, and ends with the process that started it.

    Raises:
        Refused: ``no-user``: the user that enrolling makes is missing.
    """

    def __init__(self, work: Work, name: str = DATABASE_USER) -> None:
        self.work = work
        self._files = 0
        self.user: Optional[Tuple[int, int]] = None
        if os.geteuid() == 0:
            try:
                found = pwd.getpwnam(name)
            except KeyError:
                raise Refused("no-user", f"there is no user {name} on this server; failover enroll makes it") from None
            self.user = found.pw_uid, found.pw_gid
        self.folder = f"{work.places.run}/database-{os.getpid()}"
        os.makedirs(work.places.run, mode=0o755, exist_ok=True)
        run = os.open(work.places.run, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(run, fcntl.LOCK_EX)  # nobody takes a folder for left that isn't locked yet
            self._sweep()
            os.mkdir(self.folder, 0o700)
            self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        finally:
            os.close(run)
        self.give(self.folder)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        remove_tree(self.folder)
        os.close(self._lock)

    def _sweep(self) -> None:
        """Remove what killed workers left: passwords were in it. Whoever works still holds the lock on its own."""
        for name in os.listdir(self.work.places.run):
            if not re.match(r"database-\d+\Z", name):
                continue
            folder = f"{self.work.places.run}/{name}"
            try:
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue  # its worker ended well meanwhile
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            finally:
                os.close(fd)
            remove_tree(folder)

    def give(self, path: str) -> None:
        """Make a path the user's."""
        if self.user is not None:
            os.chown(path, *self.user)

    def put(self, name: str, text: str) -> str:
        """A new file that only the user can read; its path."""
        self._files += 1
        path = f"{self.folder}/{name}.{self._files}"
        put_file(path, text.encode(), 0o600, durable=False)
        self.give(path)
        return path

    def start(
        self, argv: List[str], env: Optional[Dict[str, str]] = None, stdin: Any = subprocess.DEVNULL,
        stdout: Any = subprocess.PIPE, stderr: Any = subprocess.PIPE, groups: Iterable[int] = (), writes: bool = False,
        alone: bool = False,
    ) -> "subprocess.Popen[bytes]":  # fmt: skip
        """Start a program.

        Args:
            argv: it and its arguments; no secret is among them.
            env: more of the environment; no secret either.
            stdin: where it reads.
            stdout: where it writes.
            stderr: where it complains.
            groups: more groups, to read a file with.
            writes: it may write files.
            alone: it may start no other program, whatever it is made to try.

        Raises:
            Refused, Failed: ``no-tool``: it isn't there.
        """
        user = self.user

        def become() -> None:
            if user is not None:
                os.setgroups(sorted(set(groups)))
                os.setgid(user[1])
                os.setuid(user[0])
            os.umask(0o077)
            core._libc.prctl(core.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            core.die_with_parent()  # after the change of user, which clears it
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if not writes:
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            if alone:
                resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # root isn't held by it; the user is
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)

        try:
            return subprocess.Popen(
                argv, stdin=stdin, stdout=stdout, stderr=stderr, cwd="/", preexec_fn=become,
                env=dict(ENVIRONMENT, HOME=self.folder, **(env or {})),
            )  # fmt: skip
        except OSError as error:
            raise trouble(self.work, "no-tool", f"{argv[0]} can't be run here: {core.plain(error)}") from None

    def run(
        self, argv: List[str], stdin: Any = b"", env: Optional[Dict[str, str]] = None, within: float = TOOL_SECONDS,
        **more: Any
    ) -> Said:  # fmt: skip
        """Run a program to its end, with bytes or an open file for its standard input.

        Raises:
            Refused, Failed: ``timeout``, ``no-tool``.
        """
        text = stdin if isinstance(stdin, bytes) else None
        process = self.start(argv, env, subprocess.PIPE if text is not None else stdin, **more)
        seconds = self.work.left(within)
        try:
            out, err = process.communicate(text, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise trouble(self.work, "timeout", f"{os.path.basename(argv[0])} took more than {seconds:.3g} s") from None
        finally:
            end(process)
        return Said(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))

    def groups_for(self, path: str) -> List[int]:
        """The groups by which a path can be read, besides root's: backups are root's, for those who copy them."""
        infos = [os.lstat(path), os.lstat(os.path.dirname(path) or "/")]
        return [info.st_gid for info in infos if info.st_gid and info.st_mode & 0o040]

    def can_read(self, path: str) -> bool:
        """Whether the user can, with those groups."""
        return self.run(["test", "-r", path], groups=self.groups_for(path)).code == 0

    def pump(
        self, process: "subprocess.Popen[bytes]", chunks: Iterable[bytes] = (), tick: Callable[[], None] = lambda: None
    ) -> Said:
        """Feed a program, hear what it complains of, look after time and disk meanwhile, and wait for its end.

        Only when ``chunks`` ends well is its input closed: a program that commits at the end of its input must not
        take an input that broke off for one that ended. It is killed when anything is raised.
        """
        assert process.stderr is not None  # noqa: S101 - it was asked for
        err, said, source, ticked = process.stderr.fileno(), b"", iter(chunks), 0.0
        data = memoryview(b"")
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        try:
            while True:
                feeding = process.stdin is not None and not process.stdin.closed
                if feeding and not data:
                    data = memoryview(gathered(source))
                    if not data and process.stdin is not None:
                        process.stdin.close()
                        feeding = False
                writable = [process.stdin.fileno()] if feeding and process.stdin is not None else []
                can_read, can_write, _ = select.select([err], writable, [], LOOK_SECONDS)
                if can_read:
                    heard = os.read(err, CHUNK_BYTES)
                    if not heard:
                        break
                    said = (said + heard)[-MOST_SAID:]
                if can_write and process.stdin is not None:
                    try:
                        data = data[os.write(process.stdin.fileno(), data) :]
                    except BlockingIOError:
                        pass
                    except BrokenPipeError:  # it ended early, and says why
                        data, source = memoryview(b""), iter(())
                now = time.monotonic()
                if now - ticked >= LOOK_SECONDS:
                    ticked = now
                    self.work.in_time()
                    tick()
            process.wait(timeout=self.work.left())
        finally:
            end(process)
        return Said(process.returncode, "", said.decode("utf-8", "replace"))

    def lines(self, argv: List[str], stdin: Any, most: int = 256 << 20, **more: Any) -> Iterator[bytes]:
        """What a program writes, line by line with their ends, in pieces; ends well only if the program did.

        Raises:
            Failed: ``bad-backup``, with the program's words.
        """
        process = self.start(argv, stdin=stdin, **more)
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - asked for
        rest: List[bytes] = []
        held = 0
        try:
            while True:
                data = process.stdout.read(CHUNK_BYTES)
                if not data:
                    break
                *whole, last = data.split(b"\n")
                for line in whole:
                    yield b"".join(rest) + line + b"\n" if rest else line + b"\n"
                    rest, held = [], 0
                if last:
                    rest.append(last)
                    held += len(last)
                    if held > most:
                        raise Failed("bad-backup", f"a line of it is longer than {most} bytes")
            if rest:
                yield b"".join(rest)
            words = process.stderr.read(MOST_SAID).decode("utf-8", "replace")
            if process.wait(timeout=self.work.left(TOOL_SECONDS)):
                raise Failed("bad-backup", f"it can't be read to its end: {in_one_line(words)}")
        finally:
            end(process)


def gathered(source: Iterator[bytes], most: int = CHUNK_BYTES) -> bytes:
    """The next chunks as one of about so many bytes: a dump has a line for each row, and each write a price."""
    parts, size = [], 0
    for chunk in source:
        parts.append(chunk)
        size += len(chunk)
        if size >= most:
            break
    return b"".join(parts)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill it if it still runs, with what it started (``pg_restore --jobs`` has workers), and close its pipes."""
    if process.poll() is None:
        end_work(process.pid)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass  # what was left in it nobody takes any more
