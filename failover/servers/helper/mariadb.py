"""MariaDB 10.5 and later as it stands: what is there, who is connected, keeping writes out.

Through its own client program, as an account that has all rights on the database and on those called ``NAME\\_\\_%``,
with the right to grant them; may see and end connections (PROCESS, CONNECTION ADMIN); and may read ``mysql.db``.
"""

import json
import os
import re
import time
from typing import Any, Dict, Iterable, List, Optional, Tuple

from .client import Client, in_one_line, trouble
from .core import LONGEST_SECONDS, TOOL_SECONDS, Answer, Work, parse_json, put_file
from .engine import NOTE, Down, Engine

COLUMNS = {
    "INSERT": "Insert_priv", "UPDATE": "Update_priv", "DELETE": "Delete_priv", "CREATE": "Create_priv",
    "DROP": "Drop_priv", "REFERENCES": "References_priv", "INDEX": "Index_priv", "ALTER": "Alter_priv",
    "CREATE VIEW": "Create_view_priv", "CREATE ROUTINE": "Create_routine_priv", "ALTER ROUTINE": "Alter_routine_priv",
    "EVENT": "Event_priv", "TRIGGER": "Trigger_priv", "LOCK TABLES": "Lock_tables_priv",
    "DELETE HISTORY": "Delete_history_priv",
}  # fmt: skip
"""Rights to change something, and where they stand in ``mysql.db``."""


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


class MariaDBServer(Engine):
    """See :class:`Engine`."""

    engine = "mariadb"

    def __init__(self, work: Work, entry: Answer, client: Client) -> None:
        super().__init__(work, entry, client)
        self._options: Optional[str] = None
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

    def place(self) -> List[str]:
        """Where the server is, and where the password, as arguments; to be the first ones."""
        if self._options is None:
            password = self.password().replace("\\", "\\\\").replace('"', '\\"')
            where = f"socket={self.host}" if self.host.startswith("/") else f"host={self.host}\nport={self.port}"
            text = f'[client]\nuser={self.user}\npassword="{password}"\n{where}\nconnect_timeout=5\n'
            self._options = self.client.put("my.cnf", text)
        return [f"--defaults-extra-file={self._options}", "--default-character-set=utf8mb4"]

    def sql(self, orders: str, of: str = "", within: float = TOOL_SECONDS) -> str:
        """Carry out orders; what they answer, a line a row, tabs between.

        Raises:
            Down: the server doesn't answer.
            Failed, Refused: ``database-refused``, with its words.
        """
        within = self.work.left(within)
        argv = [self.program("mariadb"), *self.place(), "--batch", "--raw", "--skip-column-names", "--local-infile=0"]
        head = "SET SESSION lock_wait_timeout = 8, sql_mode = 'NO_ENGINE_SUBSTITUTION';\n"
        said = self.client.run([*argv, *([of] if of else [])], (head + orders).encode(), within=within + 6, alone=True)
        if said.code == 0:
            return said.out
        words = in_one_line(said.err)
        code = re.search(r"ERROR (\d+)", said.err)
        number = int(code.group(1)) if code is not None else 0
        if (
            number in (1045, 1040, 1203, 2006, 2013, 1053)
            or 2000 <= number <= 2005
            or not number
            and "connect" in words
        ):
            raise Down(words)
        raise trouble(self.work, "database-refused", words)

    def rows(self, columns: str, rest: str, of: str = "", within: float = TOOL_SECONDS) -> List[Answer]:
        """The rows of a query: ``name, expression, name, expression`` and what follows ``SELECT``."""
        lines = self.sql(f"SELECT JSON_OBJECT({columns}) {rest};", of, within).splitlines()
        return [json.loads(line) for line in lines if line]

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
        orders = "START TRANSACTION READ ONLY;\n{};\nROLLBACK;".format(sql.rstrip("; \n"))
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

    # who may write --------------------------------------------------------------------------------------------------

    def _rights(self, of: str) -> List[Answer]:
        """The accounts with rights to change something in it, and which; ours left out."""
        columns = ", ".join(f"'{right}', {column} = 'Y'" for right, column in COLUMNS.items())
        names = ", ".join(literal(name) for name in (of, of.replace("_", "\\_")))
        found = self.rows(
            f"'user', User, 'host', Host, 'db', Db, 'rights', JSON_OBJECT({columns})",
            f"FROM mysql.db WHERE Db IN ({names}) AND User <> {literal(self.user)} ORDER BY User, Host",
        )
        listed = [dict(row, rights=sorted(key for key, on in row["rights"].items() if on)) for row in found]
        return [row for row in listed if row["rights"]]

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
            return
        os.makedirs(self.notes_folder, mode=0o700, exist_ok=True)
        put_file(path, json.dumps(value).encode(), 0o600)

    def read_only(self, of: str) -> bool:
        """See :class:`Engine`."""
        whole = self.sql("SELECT @@GLOBAL.read_only;").strip() not in ("0", "OFF")
        return whole or not any({"INSERT", "UPDATE", "DELETE"} & set(row["rights"]) for row in self._rights(of))

    def set_read_only(self, of: str, on: bool) -> None:
        """See :class:`Engine`. The rights to change something are taken from every account that has them on it."""
        if self.found(of) is None:
            raise trouble(self.work, "no-database", f"there is no database {of}")
        if on:
            rights = self._rights(of)
            kept = {(row["user"], row["host"], row["db"]): row for row in self.read_state("rights") or []}
            kept.update({(row["user"], row["host"], row["db"]): row for row in rights})
            self.write_state("rights", list(kept.values()))
            self._order(rights, "REVOKE {} ON {}.* FROM {};")
            stay = self.end_connections(of)  # rights on a schema count from the moment that it is chosen
            if stay:
                raise trouble(self.work, "in-use", f"{of} is read-only now, but {'; '.join(stay)} can still write")
        else:
            self._order(self.read_state("rights") or [], "GRANT {} ON {}.* TO {};")
            self.end_connections(of)
            if not self.read_only(of):
                self.write_state("rights", None)
        if self.read_only(of) != on:
            raise trouble(
                self.work, "not-so",
                f"{of} still isn't {'read-only' if on else 'open to writes'}: see the server's read_only, and rights "
                "that are given for more than this database",
            )  # fmt: skip

    def _order(self, rights: Iterable[Answer], form: str) -> None:
        for row in rights:
            account = "{}@{}".format(literal(row["user"]), literal(row["host"]))
            self.sql(form.format(", ".join(row["rights"]), quoted(row["db"]), account))

    # connections ----------------------------------------------------------------------------------------------------

    def end_connections(self, of: str) -> List[str]:
        """See :class:`Engine`."""
        where = (
            f"FROM information_schema.PROCESSLIST WHERE DB = {literal(of)} AND ID <> CONNECTION_ID()"
            " AND COMMAND NOT IN ('Binlog Dump', 'Daemon')"
        )
        until = time.monotonic() + 2.0
        found: List[Answer] = []
        while time.monotonic() < until:
            found = self.rows("'id', ID, 'user', USER, 'host', HOST", where)
            if not found:
                return []
            for row in found:
                try:
                    self.sql("KILL CONNECTION {};".format(int(row["id"])))
                except Exception as error:  # noqa: BLE001 - it ended by itself, or may not be ended, which shows below
                    self.work.places.log(f"connection {row['id']}: {error}")
            time.sleep(0.02)
        return ["a connection of {user} from {host} (number {id})".format(**row) for row in found]

    def drop(self, of: str) -> None:
        """See :class:`Engine`."""
        self.end_connections(of)
        self.sql(f"DROP DATABASE IF EXISTS {quoted(of)};", within=600)
