"""MariaDB 10.5 and later as it stands: what is there, and how it is asked.

Through its own client program, as an account ``USER`` that has all rights on the database and on those called
``NAME\\_\\_%``, with the right to grant them; may see and end connections (PROCESS, CONNECTION ADMIN); may let views
and routines run as the site's account (SET USER); and may read who has which rights (``mysql.db``, of ``mysql.user``
the columns User, Host, Insert_priv, Update_priv, Delete_priv) and how routines are made (``mysql.proc``). A second
account ``USER_restore`` with the same password has no right at all: it is lent those on what it is to fill.
"""

import json
import os
import re
from typing import Any, Dict, List, Optional, Tuple

from .client import Client, in_one_line, trouble
from .core import LONGEST_SECONDS, TOOL_SECONDS, Answer, Work, parse_json, put_file, sync_folder
from .engine import NOTE, Down, Engine

LOCK_SECONDS = 8
AWAY = (1040, 1045, 1053, 1203, 2006, 2013)
"""Errors of a server that doesn't let us in, or went away."""
UNESCAPED = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def quoted(name: str) -> str:
    """An identifier."""
    return "`{}`".format(name.replace("`", "``"))


def literal(text: str) -> str:
    """A string."""
    return "'{}'".format(text.replace("\\", "\\\\").replace("'", "''"))


def series(version: str) -> Tuple[int, ...]:
    """What must not be older than where a backup was made: 10.11 of 10.11.19-MariaDB."""
    numbers = re.findall(r"\d+", version)[:2]
    return tuple(int(number) for number in numbers)


def complaint(said: str) -> Tuple[str, str]:
    """What the client complains of, without the order that it repeats, which may hold data; and the error's number."""
    found = list(re.finditer(r"^ERROR (\d+)", said, re.MULTILINE))
    return in_one_line(said[found[-1].start() :] if found else said), found[-1].group(1) if found else ""


class MariaDBServer(Engine):
    """See :class:`Engine`."""

    engine = "mariadb"

    def __init__(self, work: Work, entry: Answer, client: Client) -> None:
        super().__init__(work, entry, client)
        self.restorer = self.user + "_restore"
        self._options: Dict[str, str] = {}
        self._version: Optional[str] = None
        self.notes_folder = work.places.state + "/databases"

    # talking --------------------------------------------------------------------------------------------------------

    def program(self, name: str) -> str:
        """A client program, by its name of today or of before."""
        older = {"mariadb": "mysql", "mariadb-dump": "mysqldump"}.get(name, name)
        for folder in ("/usr/bin", "/usr/local/bin", "/usr/local/mysql/bin"):
            for each in (name, older):
                if os.access(f"{folder}/{each}", os.X_OK):
                    return f"{folder}/{each}"
        return name

    def place(self, user: str = "") -> List[str]:
        """Where the server is, and where the password, as arguments; to be the first ones."""
        user = user or self.user
        if user not in self._options:
            password = self.password().replace("\\", "\\\\").replace('"', '\\"')
            where = f"socket={self.host}" if self.host.startswith("/") else f"host={self.host}\nport={self.port}"
            text = f'[client]\nuser={user}\npassword="{password}"\n{where}\nconnect_timeout=5\n'
            self._options[user] = self.client.put("my.cnf", text)
        return [f"--defaults-extra-file={self._options[user]}", "--default-character-set=utf8mb4"]

    def sql(
        self, orders: str, of: str = "", within: float = TOOL_SECONDS, user: str = "", raw: bool = True,
        lock_seconds: int = LOCK_SECONDS,
    ) -> str:  # fmt: skip
        """Carry out orders; what they answer, a line a row, tabs between.

        Raises:
            Down: the server doesn't answer.
            Failed, Refused: ``database-refused``, with its words.
        """
        within = self.work.left(within)
        said = self.client.run(
            [*self.argv(user), *(["--raw"] if raw else []), *([of] if of else [])],
            (self.head(min(lock_seconds, int(within))) + orders).encode(), within=within + 6, alone=True,
        )  # fmt: skip
        if said.code:
            raise self.failed(said.err)
        return said.out

    def argv(self, user: str = "") -> List[str]:
        """The client's command line. Its own commands are off, all but DELIMITER; comments in routines stay."""
        options = ["--batch", "--binary-mode", "--comments", "--skip-column-names", "--local-infile=0"]
        return [self.program("mariadb"), *self.place(user), *options]

    @staticmethod
    def head(lock_seconds: int) -> str:
        """Before all orders. When we are gone, nothing of ours is to go on waiting for long."""
        return f"SET SESSION lock_wait_timeout = {max(1, lock_seconds)}, sql_mode = 'NO_ENGINE_SUBSTITUTION';\n"

    def failed(self, said: str) -> Exception:
        """What went wrong with orders, by what the client said."""
        words, code = complaint(said)
        number = int(code or 0)
        if number in AWAY or 2000 <= number <= 2005 or not number and "connect" in words:
            return Down(words)
        return trouble(self.work, "database-refused", words)

    def rows(self, columns: str, rest: str, of: str = "", within: float = TOOL_SECONDS) -> List[Answer]:
        """The rows of a query: ``name, expression, name, expression`` and what follows ``SELECT``."""
        lines = self.sql(f"SELECT JSON_OBJECT({columns}) {rest};", of, within).split("\n")
        return [json.loads(line) for line in lines if line]

    def fields(self, orders: str, of: str) -> List[str]:
        """The fields of an answer of one row, whatever is in them."""
        line = self.sql(orders, of, raw=False).rstrip("\n")
        return [re.sub(r"\\(.)", lambda match: UNESCAPED[match.group(1)], field) for field in line.split("\t")]

    # asking ---------------------------------------------------------------------------------------------------------

    def version(self) -> str:
        """See :class:`Engine`."""
        if self._version is None:
            self._version = self.sql("SELECT VERSION();").strip()
            if "MariaDB" not in self._version or series(self._version) < (10, 5):
                raise trouble(self.work, "wrong-version", f"this is {self._version}; MariaDB 10.5 or later is needed")
        return self._version

    def databases(self) -> List[Answer]:
        """See :class:`Engine`."""
        self.version()
        pattern = literal(self.name.replace("_", "\\_") + "\\_\\_%")
        found = self.rows(
            "'name', s.SCHEMA_NAME, 'note', s.SCHEMA_COMMENT, 'bytes', (SELECT COALESCE(SUM(t.DATA_LENGTH +"
            " t.INDEX_LENGTH), 0) FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = s.SCHEMA_NAME),"
            " 'connections', (SELECT COUNT(*) FROM information_schema.PROCESSLIST p WHERE p.DB = s.SCHEMA_NAME AND"
            " p.ID <> CONNECTION_ID())",
            f"FROM information_schema.SCHEMATA s WHERE s.SCHEMA_NAME = {literal(self.name)} OR s.SCHEMA_NAME LIKE"
            f" {pattern} ORDER BY s.SCHEMA_NAME",
        )
        ours = [
            one
            for one in found
            if one["name"] == self.name or self.is_restored(one["name"]) or self.is_kept(one["name"])
        ]
        return [dict(one, note=self._noted(one["note"])) for one in ours]

    @staticmethod
    def _noted(comment: str) -> Answer:
        if comment.startswith(NOTE):
            try:
                found = json.loads(comment[len(NOTE) :])
                return dict(found) if isinstance(found, dict) else {}
            except ValueError:
                pass
        return {"comment": comment} if comment else {}

    def set_note(self, of: str, note: Answer) -> None:
        """See :class:`Engine`. It is the schema's comment, of 1,024 characters at most."""
        text = str(note.get("comment", "")) if set(note) <= {"comment"} else NOTE + json.dumps(note, sort_keys=True)
        self.sql(f"ALTER DATABASE {quoted(of)} COMMENT = {literal(text)};")

    def base_tables(self, of: str) -> List[str]:
        """The names of its tables; views left out."""
        return self.names("TABLE_NAME", "TABLES", f"TABLE_SCHEMA = {literal(of)} AND TABLE_TYPE IN ('BASE TABLE', "
                           "'SYSTEM VERSIONED', 'SEQUENCE')")  # fmt: skip

    def names(self, column: str, table: str, where: str) -> List[str]:
        """Names in a table of ``information_schema``, in order."""
        found = self.rows(f"'name', {column}", f"FROM information_schema.{table} WHERE {where} ORDER BY {column}")
        return [row["name"] for row in found]

    def tables(self, of: str) -> Dict[str, int]:
        """See :class:`Engine`."""
        names = self.names("TABLE_NAME", "TABLES", f"TABLE_SCHEMA = {literal(of)} AND TABLE_TYPE IN ('BASE TABLE', "
                            "'SYSTEM VERSIONED')")  # fmt: skip
        if not names:
            return {}
        orders = "\n".join(f"SELECT COUNT(*) FROM {quoted(of)}.{quoted(name)};" for name in names)
        numbers = self.sql(
            f"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;\n{orders}\nCOMMIT;", "", LONGEST_SECONDS
        )
        return dict(zip(names, map(int, numbers.split())))  # noqa: B905 - zip(strict=) came with Python 3.10

    def query(self, sql: str, of: str) -> Any:
        """See :class:`Engine`."""
        # Of the session: a transaction alone ends before an order that commits by itself, such as DROP TABLE.
        orders = "SET SESSION TRANSACTION READ ONLY;\n{};".format(sql.rstrip("; \n"))
        lines = self.sql(orders, of, LONGEST_SECONDS).split("\n")
        value = lines[0].split("\t")[0]
        return None if value in ("", "NULL") else value

    def analyze(self, of: str) -> None:
        """See :class:`Engine`."""
        names = self.base_tables(of)
        if names:
            listed = ", ".join(f"{quoted(of)}.{quoted(name)}" for name in names)
            self.sql(f"ANALYZE NO_WRITE_TO_BINLOG TABLE {listed};", "", LONGEST_SECONDS)

    def settle(self, into: str) -> None:
        """See :class:`Engine`. Nothing to do: rights belong to the name of a schema here, and stay with the name."""

    def data_folder(self) -> Optional[str]:
        """See :class:`Engine`."""
        folder = self.sql("SELECT @@datadir;").strip().rstrip("/")
        return folder if os.path.isdir(folder) else None

    # what was written down before it was begun ----------------------------------------------------------------------

    def _state_file(self, what: str) -> str:
        return f"{self.notes_folder}/mariadb-{self.name}-{what}.json"

    def read_state(self, what: str) -> Any:
        """Something that was written down before it was begun; None when there is nothing."""
        try:
            with open(self._state_file(what), "rb") as file:
                return parse_json(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise trouble(self.work, "bad-state", f"{self._state_file(what)} can't be read: {error}") from None

    def write_state(self, what: str, value: Any) -> None:
        """Write it down durably; None forgets it."""
        path = self._state_file(what)
        if value is None:
            if os.path.exists(path):
                os.unlink(path)
                sync_folder(self.notes_folder)
            return
        os.makedirs(self.notes_folder, mode=0o700, exist_ok=True)
        put_file(path, json.dumps(value).encode(), 0o600)
        sync_folder(self.notes_folder)
