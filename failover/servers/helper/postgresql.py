"""PostgreSQL 10 and later as it stands: what is there, and what is in it.

Through its own client programs, as a role that may create databases and is a member of the database's owner. No
superuser is needed.
"""

import json
import os
import re
from typing import Any, Dict, List, Optional, Tuple

from . import core, ports
from .client import Client, in_one_line, trouble
from .core import TOOL_SECONDS, Answer, Work
from .engine import NOTE, Down, Engine

TABLES = (
    "SELECT n.nspname AS schema, c.relname AS table FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    " AND n.nspname NOT LIKE 'pg\\_toast%' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid ="
    " 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1, 2"
)
SIZE_AND_SESSIONS = (
    ", CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END AS bytes,"
    " (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid AND a.pid <> pg_backend_pid()"
    " AND a.usesysid IS NOT NULL) AS connections"
)


def quoted(name: str) -> str:
    """An identifier."""
    return '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """A string."""
    return "'{}'".format(text.replace("'", "''")) if "\\" not in text else _escaped(text)


def _escaped(text: str) -> str:
    return "E'{}'".format(text.replace("\\", "\\\\").replace("'", "''"))


def major(version: str) -> Tuple[int, ...]:
    """What has to be equal for a cluster's files, and not older for a dump: 15 of 15.18, 9.6 of 9.6.24."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return tuple(numbers[:1] if numbers[:1] >= [10] else numbers)


def programs_folder(wanted: Optional[Tuple[int, ...]], program: str) -> Optional[str]:
    """Where the programs of a major version lie, or of the newest; not the wrappers on PATH, which take longer."""
    found = []
    for base in ("/usr/lib/postgresql", "/usr"):
        for name in os.listdir(base) if os.path.isdir(base) else []:
            version = name if base != "/usr" else name[6:] if name.startswith("pgsql-") else ""
            path = f"{base}/{name}/bin"
            if re.match(r"\d+(\.\d+)?\Z", version) and os.access(f"{path}/{program}", os.X_OK):
                found.append((major(version), path))
    if wanted is not None:
        return next((path for version, path in found if version == wanted), None)
    return max(found)[1] if found else None


class PostgreSQLServer(Engine):
    """See :class:`Engine`."""

    engine = "postgresql"
    maintenance = "postgres"

    def __init__(self, work: Work, entry: Answer, client: Client) -> None:
        super().__init__(work, entry, client)
        self._passes: Optional[str] = None
        self._version: Optional[str] = None
        self._folder = programs_folder(None, "psql")

    # talking --------------------------------------------------------------------------------------------------------

    def program(self, name: str) -> str:
        """A client program, of the server's own version where that is known and installed."""
        if self._version is not None:
            own = programs_folder(major(self._version), name)
            if own is not None:
                return f"{own}/{name}"
        return f"{self._folder}/{name}" if self._folder and os.path.exists(f"{self._folder}/{name}") else name

    def environment(self, within: float = 0.0) -> Dict[str, str]:
        """Of a client program: where the password is, and how long an order may take at the server."""
        if self._passes is None:
            password = re.sub(r"([\\:])", r"\\\1", self.password())
            self._passes = self.client.put("pgpass", f"*:*:*:*:{password}\n")
        options = ["-c", "default_transaction_read_only=off", "-c", "client_min_messages=warning"]
        options += ["-c", f"statement_timeout={int(within * 1000)}", "-c", "lock_timeout=10s"] if within else []
        return {
            "PGPASSFILE": self._passes, "PGCONNECT_TIMEOUT": "5", "PGAPPNAME": "failover",
            "PGOPTIONS": " ".join(options), "PGCLIENTENCODING": "UTF8",
        }  # fmt: skip

    def place(self) -> List[str]:
        """Where the server is, as arguments."""
        return ["--host", self.host, "--port", str(self.port), "--username", self.user, "--no-password"]

    def psql(self, of: str) -> List[str]:
        """The command line of psql; orders come in on its standard input."""
        return [self.program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"] + self.place() + [
            "--dbname", of, "--file=-"
        ]  # fmt: skip

    def sql(self, orders: str, of: str = "", within: float = TOOL_SECONDS) -> str:
        """Carry out orders; what they answer.

        Raises:
            Down: the server doesn't answer.
            Failed, Refused: ``database-refused``, with its words.
        """
        within = self.work.left(within)
        said = self.client.run(
            self.psql(of or self.maintenance), orders.encode(), self.environment(within), within + 6, alone=True
        )
        if said.code == 0:
            return said.out
        words = in_one_line(re.sub(r"psql:<stdin>:\d+: ", "", said.err))
        if said.code == 2:
            raise Down(words)
        raise trouble(self.work, "database-refused", words)

    def rows(self, query: str, of: str = "", within: float = TOOL_SECONDS) -> List[Answer]:
        """The rows of a query."""
        text = self.sql(f"SELECT coalesce(json_agg(x), '[]') FROM ({query}) x;", of, within)
        found: List[Answer] = json.loads(text)
        return found

    # asking ---------------------------------------------------------------------------------------------------------

    def version(self) -> str:
        """See :class:`Engine`."""
        if self._version is None:
            self._version = self.sql("SHOW server_version;").split()[0]
        return self._version

    def databases(self) -> List[Answer]:
        """See :class:`Engine`."""
        return self._family(self.rows(self._family_query()))

    def standing(self) -> Tuple[str, List[Answer], bool]:
        """See :class:`Engine`. One session: beginning one takes longer than all three questions."""
        said = self.sql(
            "SHOW server_version;\n"
            f"SELECT coalesce(json_agg(x), '[]') FROM ({self._family_query()}) x;\n"
            f"SELECT coalesce(bool_or(x.is), false) FROM ({self._read_only_query(self.name)}) x;"
        )
        lines = said.rstrip("\n").split("\n")  # an array has a line for each of its entries
        self._version = lines[0].split()[0]
        return self._version, self._family(json.loads("\n".join(lines[1:-1]))), lines[-1] == "t"

    def notes(self) -> Dict[str, Answer]:
        """See :class:`Engine`. A size is asked of the disk, file by file."""
        return {entry["name"]: entry["note"] for entry in self._family(self.rows(self._family_query("")))}

    def _family_query(self, more: str = SIZE_AND_SESSIONS) -> str:
        return (
            "SELECT d.datname AS name, shobj_description(d.oid, 'pg_database') AS note{}"
            " FROM pg_database d WHERE d.datname = {} OR d.datname LIKE {} ORDER BY 1"
        ).format(more, literal(self.name), literal(self.name.replace("_", "\\_") + "\\_\\_%"))

    def _family(self, rows: List[Answer]) -> List[Answer]:
        found = [entry for entry in rows if entry["name"] == self.name or self._is_ours(entry["name"])]
        return [dict(entry, note=self._noted(entry["note"])) for entry in found]

    def _is_ours(self, name: str) -> bool:
        return self.is_restored(name) or self.is_kept(name)

    def _noted(self, comment: Optional[str]) -> Answer:
        if comment is not None and comment.startswith(NOTE):
            try:
                found = json.loads(comment[len(NOTE) :])
                return dict(found) if isinstance(found, dict) else {}
            except ValueError:
                pass
        return {"comment": comment} if comment else {}

    def _comment(self, of: str, note: Answer) -> str:
        text = note.get("comment") if set(note) <= {"comment"} else NOTE + json.dumps(note, sort_keys=True)
        return "COMMENT ON DATABASE {} IS {};".format(quoted(of), literal(text) if text else "NULL")

    def set_note(self, of: str, note: Answer) -> None:
        """See :class:`Engine`. It is the database's comment, so that it goes where the database goes."""
        self.sql(self._comment(of, note))

    def read_only(self, of: str) -> bool:
        """See :class:`Engine`."""
        return any(row["is"] for row in self.rows(self._read_only_query(of)))

    def _read_only_query(self, of: str) -> str:
        return (
            "SELECT pg_is_in_recovery() OR NOT has_database_privilege({owner}, d.oid, 'CONNECT') OR coalesce("
            "'{setting}' = ANY (s.setconfig), false) AS is FROM pg_database d LEFT JOIN pg_db_role_setting s ON"
            " s.setdatabase = d.oid AND s.setrole = 0 WHERE d.datname = {of}"
        ).format(owner=literal(self.owner), setting="default_transaction_read_only=on", of=literal(of))

    def tables(self, of: str) -> Dict[str, int]:
        """See :class:`Engine`."""
        found = self.rows(TABLES, of)
        counts = [
            "SELECT count(*) FROM ONLY {}.{};".format(quoted(row["schema"]), quoted(row["table"])) for row in found
        ]
        orders = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSET row_security = off;\n{}\nCOMMIT;"
        numbers = self.sql(orders.format("\n".join(counts)), of, core.LONGEST_SECONDS).split() if found else []
        names = ["{}.{}".format(row["schema"], row["table"]) for row in found]
        return dict(zip(names, map(int, numbers)))  # noqa: B905 - zip(strict=) came with Python 3.10

    def query(self, sql: str, of: str) -> Any:
        """See :class:`Engine`."""
        orders = "BEGIN READ ONLY;\nSET LOCAL ROLE {};\n{};\nROLLBACK;".format(quoted(self.owner), sql.rstrip("; \n"))
        lines = self.sql(orders, of, core.LONGEST_SECONDS).split("\n")
        return lines[0].split("|")[0] if lines[0] else None

    def analyze(self, of: str) -> None:
        """See :class:`Engine`. By name, since the system's own tables are the superuser's."""
        self.sql(self.each_table("ANALYZE", of), of, core.LONGEST_SECONDS)

    def each_table(self, order: str, of: str) -> str:
        """An order to each table."""
        names = ["{}.{}".format(quoted(row["schema"]), quoted(row["table"])) for row in self.rows(TABLES, of)]
        return "\n".join(f"{order} {name};" for name in names)

    def data_folder(self) -> Optional[str]:
        """See :class:`Engine`. The server works in it; the role may not ask for it."""
        try:
            return next((os.readlink("/proc/{}/cwd".format(one["pid"])) for one in ports.held([self.port])), None)
        except OSError:
            return None
