"""MariaDB 10.5 and later, filled from a backup: a dump, or a copy of a whole server by mariadb-backup.

A dump is orders that somebody else wrote. They go through a client in its sandbox, which knows no commands of its own
then, as a process that may start no other and write no file, and as an account that has rights on nothing but the
database that is to be filled.
"""

import os
import re
import subprocess
from typing import Callable, Dict, Iterable, List, Optional, Tuple

from .client import Client, Said, in_one_line, trouble
from .core import Answer, Work
from .engine import Disk, Down, Source, Unfit
from .mariadb import MariaDBServer, complaint, literal, quoted, series
from .mariadb_exchange import Exchange
from .mariadb_rights import Rights
from .mariadb_sessions import MariaDBSessions
from .mariadb_text import Text
from .scratch import Scratch

SPACE = ("No space left on device", "is full", "Disk full", "ERROR 1114", "ERROR 1021")
ELSEWHERE = ("1044", "1142", "1143", "1227", "1370", "1410")
"""What the server answers to an account that reaches for what it has no right to."""
NO_FUNCTIONS = "1419"


class MariaDB(MariaDBSessions):
    """See :class:`Engine`."""

    def __init__(self, work: Work, entry: Answer, client: Client) -> None:
        super().__init__(work, entry, client)
        self.rights = Rights(self)

    def preflight(self, source: Source) -> None:
        """See :class:`Engine`."""
        here, made_on = self.version(), str(source.record.get("server_version") or "")
        self.rights.restorer()
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
        text = Text(self.name)
        self.rights.lend(into)
        with open(source.path, "rb") as file:
            self._load(text.lines(self.client.lines(["gzip", "-dc"], file)), into, disk, progress)
        for name in self.names("EVENT_NAME", "EVENTS", f"STATUS = 'ENABLED' AND EVENT_SCHEMA = {literal(into)}"):
            self.sql(f"ALTER EVENT {quoted(into)}.{quoted(name)} DISABLE ON SLAVE;")
        self.rights.take_back()
        return text.warnings(self.owner)

    def _load(self, lines: Iterable[bytes], into: str, disk: Disk, progress: Callable[..., None]) -> None:
        argv = [self.program("mariadb"), *self.place(self.restorer), "--binary-mode", "--comments", "--local-infile=0"]
        argv.append("--batch")
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
        words, number = complaint(said.err)
        words = words or f"it ended with {said.code}"
        if any(sign in said.err for sign in SPACE):
            raise Unfit("no-space", f"the database's disk is full: {words}")
        if "sandbox" in said.err:
            raise Unfit("hostile-backup", f"it holds a command for the client, which none has: {words}")
        if number in ELSEWHERE:
            raise Unfit("hostile-backup", f"it would change more than its database: {words}")
        if number == NO_FUNCTIONS:
            raise Unfit("no-right", f"set log_bin_trust_function_creators on this server: {words}")
        raise Unfit("bad-backup", f"mariadb: {words}")

    def drop(self, of: str) -> None:
        """See :class:`Engine`."""
        super().drop(of)
        self.rights.take_back()

    # who may write --------------------------------------------------------------------------------------------------

    def owner_account(self) -> Optional[str]:
        """See :class:`Rights`."""
        return self.rights.owner()

    def read_only(self, of: str) -> bool:
        """See :class:`Engine`."""
        whole = self.sql("SELECT @@GLOBAL.read_only;").strip() not in ("0", "OFF")
        return whole or not self.rights.writers(of)

    def set_read_only(self, of: str, on: bool) -> None:
        """See :class:`Engine`."""
        if self.found(of) is None:
            raise trouble(self.work, "no-database", f"there is no database {of}")
        if on:
            self.rights.close(of)
        else:
            self.rights.open()
        stay = self.end_connections(of)  # rights on a schema count from the moment that it is chosen
        if stay and on:
            raise trouble(self.work, "in-use", f"{of} is read-only now, but {'; '.join(stay)} can still write")
        if self.read_only(of) == on:
            if not on:
                self.rights.forget()
            return
        why = "whose rights are for more than this database: " + ", ".join(self.rights.writers(of)) if on else (
            "the server's read_only is on, or no account was ever given rights on it"
        )  # fmt: skip
        raise trouble(self.work, "not-so", f"{of} still isn't {'read-only' if on else 'open to writes'}: {why}")

    # exchanging -----------------------------------------------------------------------------------------------------

    def unfinished(self) -> bool:
        """See :class:`Engine`."""
        return self.read_state("exchange") is not None

    def resume(self) -> None:
        """See :class:`Engine`."""
        Exchange(self).resume()

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

    def place(self, user: str = "") -> List[str]:
        """See :class:`MariaDBServer`."""
        return ["--no-defaults", f"--socket={self.host}", f"--user={self.user}", "--default-character-set=utf8mb4"]

    def answers(self) -> bool:
        """Whether it is open."""
        try:
            return os.path.exists(self.host) and bool(self.version())
        except Down:
            return False
