"""Who may write to a database of MariaDB. Rights belong to its name: they stay when the tables under it are exchanged.

Reading goes on in a parked one: only rights to change something are taken, from every account that has them on it, and
given back later. What is restored is written by an account that is lent rights on that and has no others: whatever a
dump orders, nothing else can be reached by it (I7).
"""

from typing import Iterable, List, Optional

from .client import trouble
from .core import Answer, Refused
from .engine import Down
from .mariadb import literal, quoted
from .mariadb_objects import account
from .mariadb_sessions import MariaDBSessions

COLUMNS = {
    "INSERT": "Insert_priv", "UPDATE": "Update_priv", "DELETE": "Delete_priv", "CREATE": "Create_priv",
    "DROP": "Drop_priv", "REFERENCES": "References_priv", "INDEX": "Index_priv", "ALTER": "Alter_priv",
    "CREATE VIEW": "Create_view_priv", "CREATE ROUTINE": "Create_routine_priv", "ALTER ROUTINE": "Alter_routine_priv",
    "EVENT": "Event_priv", "TRIGGER": "Trigger_priv", "LOCK TABLES": "Lock_tables_priv",
    "DELETE HISTORY": "Delete_history_priv",
}  # fmt: skip
"""Rights to change something, and where they stand in ``mysql.db``."""
READING = ("SELECT", "EXECUTE", "SHOW VIEW")
WRITES = frozenset(["INSERT", "UPDATE", "DELETE"])


def pattern(name: str) -> str:
    """A database's name where a right is given: there ``_`` stands for any character."""
    return name.replace("_", "\\_")


class Rights:
    """Of the accounts of a server, ours left out."""

    def __init__(self, server: MariaDBSessions) -> None:
        self.server = server

    def _ask(self, columns: str, rest: str) -> List[Answer]:
        try:
            return self.server.rows(columns, rest)
        except Refused as error:
            raise trouble(
                self.server.work, "no-right",
                f"{self.server.user} can't see who may write: it needs SELECT on mysql.db, and on User, Host, "
                f"Insert_priv, Update_priv and Delete_priv of mysql.user ({error})",
            ) from None  # fmt: skip

    def _given(self, where: str) -> List[Answer]:
        columns = ", ".join(f"'{right}', {column} = 'Y'" for right, column in COLUMNS.items())
        found = self._ask(
            f"'user', User, 'host', Host, 'db', Db, 'rights', JSON_OBJECT({columns})",
            f"FROM mysql.db WHERE {where} ORDER BY User, Host, Db",
        )
        return [dict(row, rights=sorted(right for right, on in row["rights"].items() if on)) for row in found]

    def on(self, of: str) -> List[Answer]:
        """What accounts were given on it, and on no other: ``user host db rights``."""
        ours = f"{literal(self.server.user)}, {literal(self.server.restorer)}"
        return self._given(f"Db IN ({literal(of)}, {literal(pattern(of))}) AND User NOT IN ({ours})")

    def writers(self, of: str) -> List[str]:
        """The accounts that can write to it; of those with rights on everything only the owner, others are people."""
        own = self.on(of)
        known = {(row["user"], row["host"]) for row in own}
        # Of several that fit, only the right on the most exactly named database counts.
        wide = [
            row for row in self._given(f"{literal(of)} LIKE Db AND User <> {literal(self.server.user)}")
            if (row["user"], row["host"]) not in known
        ]  # fmt: skip
        everywhere = self._ask(
            "'user', User, 'host', Host",
            f"FROM mysql.user WHERE User = {literal(self.server.owner)} AND 'Y' IN (Insert_priv, Update_priv,"
            " Delete_priv) ORDER BY Host",
        )
        rows = [row for row in own + wide if WRITES & set(row["rights"])] + everywhere
        return ["{user}@{host}".format(**row) for row in rows]

    def owner(self) -> Optional[str]:
        """The owner's account as orders name it, or None: whom views and routines of the site are to run as."""
        found = [row for row in self.on(self.server.name) if row["user"] == self.server.owner]
        return account(found[0]["user"], found[0]["host"]) if found else None

    # parked ---------------------------------------------------------------------------------------------------------

    def close(self, of: str) -> None:
        """Take the rights to change something, written down before."""
        rights = [row for row in self.on(of) if row["rights"]]
        kept = {(row["user"], row["host"], row["db"]): row for row in self.server.read_state("rights") or []}
        for row in rights:
            before = kept.get((row["user"], row["host"], row["db"]), row)
            kept[row["user"], row["host"], row["db"]] = dict(row, rights=sorted({*row["rights"], *before["rights"]}))
        self.server.write_state("rights", list(kept.values()))
        self._order("REVOKE {} ON {}.* FROM {};", rights)

    def open(self) -> None:
        """Give them back; they are forgotten by :meth:`forget`, when they work."""
        self._order("GRANT {} ON {}.* TO {};", self.server.read_state("rights") or [])

    def forget(self) -> None:
        """They were given back."""
        self.server.write_state("rights", None)

    def _order(self, form: str, rows: Iterable[Answer]) -> None:
        orders = [
            form.format(", ".join(row["rights"]), quoted(row["db"]), account(row["user"], row["host"])) for row in rows
        ]
        if orders:
            self.server.sql("\n".join(orders))

    # lent -----------------------------------------------------------------------------------------------------------

    def restorer(self) -> str:
        """The account that fills what is restored, as orders name it.

        Raises:
            Failed, Refused: ``no-account``: it isn't there, or it has rights of its own.
        """
        name, work = self.server.restorer, self.server.work
        try:
            answer = self.server.sql("SELECT CURRENT_USER();\nSHOW GRANTS;", user=name)
        except Down as error:
            if "ERROR 1045" not in str(error):
                raise
            raise trouble(
                work, "no-account",
                f"backups are restored by the account {name}, with the password of {self.server.user} and no rights; "
                f"it can't log in: {error}",
            ) from None  # fmt: skip
        who, *grants = answer.strip().split("\n")
        ours = pattern(self.server.name + "__")
        for line in grants:
            if not line.startswith("GRANT USAGE ON *.* ") and f" ON `{ours}" not in line.replace("\\\\", "\\"):
                right = line.split(" TO ")[0]
                raise trouble(work, "no-account", f"{name} may have no rights of its own, and has this: {right}")
        return account(*who.rsplit("@", 1))

    def lend(self, into: str) -> None:
        """Let the restorer fill a database."""
        who = self.restorer()
        self.take_back()
        rights = ", ".join([*READING, *COLUMNS])
        self.server.sql(f"GRANT {rights} ON {quoted(pattern(into))}.* TO {who};")

    def take_back(self) -> None:
        """Let it only read what it filled, since views there run as it; and nothing where that is gone."""
        there = {pattern(entry["name"]) for entry in self.server.databases()}
        for row in self._given(f"User = {literal(self.server.restorer)}"):
            rights = row["rights"] if row["db"] in there else [*READING, *COLUMNS]
            if rights:
                self._order("REVOKE {} ON {}.* FROM {};", [dict(row, rights=rights)])
