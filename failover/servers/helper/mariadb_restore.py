"""MariaDB 10.5 and later, filled from a backup: a dump, or a copy of a whole server by mariadb-backup.

A dump is orders that somebody else wrote. They go through a client in its sandbox, which knows no commands of its own
then, as a process that may start no other and write no file; and what would lead to another database is left out or
refused, since one account has rights on what serves too (I7).
"""

import os
import re
import subprocess
from typing import Callable, Dict, Iterable, Iterator, List, Tuple

from .client import Said, in_one_line
from .core import Answer
from .engine import Disk, Down, Source, Unfit
from .mariadb import MariaDBServer, literal, quoted, series
from .mariadb_exchange import Exchange
from .scratch import Scratch

DUMP_END = b"-- Dump completed"
ELSEWHERE = re.compile(
    rb"\s*(?:/\*M?!\d* ?)?(?:USE\b|(?:CREATE|DROP|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:DATABASE|SCHEMA|USER|ROLE)\b"
    rb"|GRANT\b|REVOKE\b|SET\s+(?:GLOBAL|@@GLOBAL|PASSWORD|ROLE|DEFAULT)\b|LOAD\s|FLUSH\b|RESET\b|CHANGE\s+MASTER|INSTALL\b|SHUTDOWN\b)",
    re.IGNORECASE,
)
DEFINER = re.compile(rb" ?DEFINER ?= ?(`(?:[^`]|``)*`@`(?:[^`]|``)*`)")
SPACE = ("No space left on device", "is full", "Disk full", "ERROR 1114", "ERROR 1021")


class MariaDB(MariaDBServer):
    """See :class:`Engine`."""

    def preflight(self, source: Source) -> None:
        """See :class:`Engine`."""
        here, made_on = self.version(), str(source.record.get("server_version") or "")
        if source.format == "mariadb-backup":
            self._whole_server(made_on)
        elif "MariaDB" in made_on and series(made_on) > series(here):
            raise Unfit("wrong-version", f"it was made on MariaDB {made_on}; this server is {here}, which is older")

    def _whole_server(self, made_on: str) -> None:
        said = self.client.run([self._program("mariadbd"), "--version"]).out
        match = re.search(r"Ver (\S+)", said)
        here = match.group(1) if match is not None else said.strip()
        if made_on and series(made_on) != series(here):
            raise Unfit("wrong-version", f"it is a copy of MariaDB {made_on}, and the programs here are of {here}")

    def _program(self, name: str) -> str:
        for folder in ("/usr/sbin", "/usr/bin", "/usr/libexec", "/usr/local/mysql/bin"):
            if os.access(f"{folder}/{name}", os.X_OK):
                return f"{folder}/{name}"
        raise Unfit("wrong-version", f"{name} isn't on this server, and without it the copy can't be opened")

    def create(self, into: str, source: Source, note: Answer) -> None:
        """See :class:`Engine`. Its character set is that of the one that serves; tables bring their own (B8)."""
        rows = self.rows(
            "'charset', DEFAULT_CHARACTER_SET_NAME, 'collation', DEFAULT_COLLATION_NAME",
            f"FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {literal(self.name)}",
        )
        like = "CHARACTER SET {charset} COLLATE {collation}".format(**rows[0]) if rows else "CHARACTER SET utf8mb4"
        self.sql(f"CREATE DATABASE {quoted(into)} {like};")
        self.set_note(into, note)

    def restore(self, source: Source, into: str, disk: Disk, progress: Callable[..., None]) -> List[str]:
        """See :class:`Engine`."""
        text = Text(self.name, self._may_name_others())
        with open(source.path, "rb") as file:
            self._load(text.lines(self.client.lines(["gzip", "-dc"], file)), into, disk, progress)
        return text.warnings(self.user)

    def _load(self, lines: Iterable[bytes], into: str, disk: Disk, progress: Callable[..., None]) -> None:
        argv = [self.program("mariadb"), *self.place(), "--binary-mode", "--local-infile=0", "--batch"]
        if "--sandbox" in self.client.run([self.program("mariadb"), "--no-defaults", "--help"]).out:
            argv.append("--sandbox")
        folder = self.data_folder()
        began = disk.free(folder) if folder else 0

        def tick() -> None:
            disk.look()
            progress(phase="restoring", into=into, bytes=max(0, began - disk.free(folder)) if folder else 0)

        process = self.client.start([*argv, into], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, alone=True)
        self._judge(self.client.pump(process, lines, tick))

    def _judge(self, said: Said) -> None:
        if said.code == 0:
            return
        words = in_one_line(said.err) or f"it ended with {said.code}"
        if any(sign in said.err for sign in SPACE):
            raise Unfit("no-space", f"the database's disk is full: {words}")
        if "sandbox" in said.err:
            raise Unfit("hostile-backup", f"it holds a command for the client, which none has: {words}")
        raise Unfit("bad-backup", f"mariadb: {words}")

    def _may_name_others(self) -> bool:
        """Whether the account may make views and routines that are run as another one."""
        grants = self.sql("SHOW GRANTS;").splitlines()
        return any(" ON *.* " in line and re.search(r"ALL PRIVILEGES|SET USER|SUPER", line) for line in grants)

    # exchanging -----------------------------------------------------------------------------------------------------

    def unfinished(self) -> bool:
        """See :class:`Engine`."""
        return self.read_state("exchange") is not None

    def exchange(self, moves: Iterable[Tuple[str, str]]) -> None:
        """See :class:`Engine`."""
        Exchange(self).begin(moves)

    # a copy of a whole server ---------------------------------------------------------------------------------------

    def unpacked(self, source: Source, scratch: Scratch) -> Tuple[Source, Dict[str, int]]:
        """See :class:`Engine`. The copy is prepared, opened, and dumped from."""
        scratch.fill(source.path)
        tool, server = self._program("mariadb-backup"), self._program("mariadbd")
        scratch.run([tool, "--prepare", f"--target-dir={scratch.data}"], "mariadb-backup --prepare")
        socket = scratch.folder + "/socket"
        first = scratch.put("first", FIRST)
        options = [f"--{key}={value}" for key, value in self._sizes(scratch.data).items()]
        argv = [
            server, "--no-defaults", f"--datadir={scratch.data}", f"--socket={socket}", "--skip-networking",
            f"--init-file={first}", f"--tmpdir={scratch.folder}", f"--pid-file={scratch.folder}/pid", "--skip-log-bin",
            "--skip-slave-start", "--event-scheduler=OFF", "--innodb-flush-log-at-trx-commit=0", "--secure-file-priv=",
            "--local-infile=0", "--plugin-maturity=unknown", *options,
        ]  # fmt: skip
        there = Copy(self, socket)
        scratch.serve(argv, there.answers)
        if there.found(self.name) is None:
            raise Unfit("bad-backup", f"there is no database {self.name} in it")
        tables = there.tables(self.name)
        dump = scratch.folder + "/dump.gz"
        self._dump(there, dump, scratch)
        scratch.stop()
        return Source(dump, "dump.gz", source.bytes, source.record), tables

    def _dump(self, there: MariaDBServer, dump: str, scratch: Scratch) -> None:
        argv = [
            self.program("mariadb-dump"), *there.place(), "--single-transaction", "--quick", "--routines", "--triggers",
            "--events", "--hex-blob", "--no-tablespaces", self.name,
        ]  # fmt: skip
        reader = self.client.start(argv, writes=True)
        with open(os.open(dump, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            packer = self.client.start(["gzip", "-1", "-c"], stdin=reader.stdout, stdout=file, writes=True)
        self.client.give(dump)
        packed = self.client.pump(packer, tick=scratch.disk.look)
        read = self.client.pump(reader)
        if packed.code or read.code:
            raise Unfit("bad-backup", f"mariadb-dump of the copy: {in_one_line(read.err + packed.err)}")

    @staticmethod
    def _sizes(folder: str) -> Dict[str, str]:
        """What the copied files' form depends on, from the settings beside them; nothing else is believed."""
        names = "page_size|data_file_path|undo_tablespaces|log_file_size|checksum_algorithm"
        known = rf"(innodb_(?:{names}))\s*=\s*([\w.:;]+)\Z"
        found = {}
        with open(folder + "/backup-my.cnf") as file:
            for line in file.read(65536).splitlines():
                match = re.match(known, line.strip())
                if match is not None:
                    found[match.group(1).replace("_", "-")] = match.group(2)
        return found


ACCOUNT = "failover_scratch"
FIRST = f"""CREATE OR REPLACE USER '{ACCOUNT}'@'localhost' IDENTIFIED BY '';
GRANT ALL PRIVILEGES ON *.* TO '{ACCOUNT}'@'localhost';
"""


class Copy(MariaDBServer):
    """The server that a copy was opened with, which nobody else can reach: it asks for no password."""

    def __init__(self, original: MariaDBServer, socket: str) -> None:
        super().__init__(original.work, dict(original.entry, host=socket, user=ACCOUNT), original.client)

    def place(self) -> List[str]:
        """See :class:`MariaDBServer`."""
        return ["--no-defaults", f"--socket={self.host}", f"--user={self.user}", "--default-character-set=utf8mb4"]

    def answers(self) -> bool:
        """Whether it is open."""
        try:
            return os.path.exists(self.host) and bool(self.version())
        except Down:
            return False


class Text:
    """A dump on its way to the client, line by line: what leads elsewhere is kept out, the end is looked for."""

    def __init__(self, name: str, may_name_others: bool) -> None:
        self._names = {form.encode() for form in (name, quoted(name))}
        self._may_name_others = may_name_others
        self._ended = False
        self._definers = 0

    def lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """What the client is to be given.

        Raises:
            Unfit: ``bad-backup``: it leads to other databases, or ends in the middle.
        """
        inside = False
        for line in lines:
            if line.startswith(b"INSERT INTO ") or inside:
                # Data: one row a line, or all in one; only a string could look like an order, and it is none.
                inside = not line.rstrip().endswith(b";")
                yield line
                continue
            if ELSEWHERE.match(line):
                self._own(line)
                continue
            if line.startswith(DUMP_END):
                self._ended = True
            if b"DEFINER" in line and not self._may_name_others:
                line, count = DEFINER.subn(b"", line)
                self._definers += count
            yield line
        if not self._ended:
            raise Unfit("bad-backup", f"it ends in the middle: '{DUMP_END.decode()[3:]}' is missing")

    def _own(self, line: bytes) -> None:
        """Dumps of a database with its name begin by making and choosing it; that is left out, all else is refused."""
        creates = rb"CREATE DATABASE (?:/\*!32312 IF NOT EXISTS ?\*/ )?(?:IF NOT EXISTS )?"
        match = re.match(rb"\s*(?:" + creates + rb"|USE |/\*!\d+ DROP DATABASE IF EXISTS )([^\s;*]+)", line)
        if match is None or match.group(1) not in self._names:
            raise Unfit(
                "hostile-backup",
                f"it would change more than its database: {line[:80].decode('utf-8', 'replace').strip()}",
            )

    def warnings(self, user: str) -> List[str]:
        """What is worth knowing of it."""
        if not self._definers:
            return []
        return [
            f"{self._definers} views, routines, triggers or events are run as {user} now, not as those who made them"
        ]
