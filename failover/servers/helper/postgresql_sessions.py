"""PostgreSQL's sessions, rights and names: who is connected, who may write, which database has which name.

Renaming keeps new connections out by itself: it holds the lock that every new connection waits for, up to five seconds
while those that are there leave (``CountOtherDBBackends``). So nothing is left switched off when we are killed midway.
"""

import re
import subprocess
import time
from typing import Iterable, List, Tuple

from .client import in_one_line, trouble
from .core import LONGEST_SECONDS, Refused
from .postgresql import PostgreSQLServer, literal, quoted
from .unfit import Disk, Unfit

EXCHANGE_TRIES = 4
LEAVE_SECONDS = (0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.03)
"""For sessions that were ended: how long is waited before each look, while somebody is still there."""
RENAMED_SECONDS = 0.2
"""A renaming that takes longer waits for somebody."""
# Of sessions of those whose member it isn't, a role isn't told what they are; of accounts they are all the same.
OTHERS = "datname = {} AND pid <> pg_backend_pid() AND usesysid IS NOT NULL"
MAY_END = (
    "NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = usesysid AND r.rolsuper)"
    " AND (pg_has_role(current_user, usesysid, 'USAGE') OR pg_has_role(current_user, 'pg_signal_backend', 'USAGE'))"
)


class PostgreSQLSessions(PostgreSQLServer):
    """See :class:`Engine`."""

    # who may write --------------------------------------------------------------------------------------------------

    def set_read_only(self, of: str, on: bool, closed: bool = False) -> None:
        """See :class:`Engine`. Every new session begins read-only; ``closed`` keeps all but us from connecting too."""
        found = self.found(of)
        if found is None:
            raise trouble(self.work, "no-database", f"there is no database {of}")
        note, name = dict(found["note"]), quoted(of)
        orders = ["BEGIN;"]
        if on:
            orders.append(f"ALTER DATABASE {name} SET default_transaction_read_only = on;")
            if closed:
                if "connect" not in note:
                    note["connect"] = self._let_in(of)
                orders += [f"REVOKE CONNECT ON DATABASE {name} FROM {self._who(role)};" for role in note["connect"]]
                orders += [f"GRANT CONNECT ON DATABASE {name} TO {quoted(self.user)};", self._comment(of, note)]
        else:
            orders.append(f"ALTER DATABASE {name} RESET default_transaction_read_only;")
            if "connect" in note:
                were = note.pop("connect")
                orders.append(f"REVOKE CONNECT ON DATABASE {name} FROM {quoted(self.user)};")
                orders += [f"GRANT CONNECT ON DATABASE {name} TO {self._who(role)};" for role in were]
                orders.append(self._comment(of, note))
        self.sql("\n".join([*orders, "COMMIT;"]))
        stay = self.end_connections(of)
        if stay and on:
            raise trouble(self.work, "in-use", f"{of} begins read-only now, but {'; '.join(stay)} can still write")
        if not self.read_only(of) == on:
            raise trouble(self.work, "not-so", f"{of} still isn't {'read-only' if on else 'open to writes'}")

    def _let_in(self, of: str) -> List[str]:
        """The roles that may connect, "" for all."""
        query = (
            "SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END AS role FROM pg_database d,"
            " aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a"
            f" WHERE d.datname = {literal(of)} AND a.privilege_type = 'CONNECT' ORDER BY 1"
        )
        return [row["role"] for row in self.rows(query)]

    @staticmethod
    def _who(role: str) -> str:
        return quoted(role) if role else "PUBLIC"

    # who is connected, and names ------------------------------------------------------------------------------------

    def end_connections(self, of: str) -> List[str]:
        """See :class:`Engine`."""
        others = OTHERS.format(literal(of))
        query = (
            "SELECT pid, usename AS user, application_name AS program, client_addr AS address, ({may}) AND"
            " pg_terminate_backend(CASE WHEN {may} THEN pid END) AS ended FROM pg_stat_activity WHERE {others}"
        ).format(may=MAY_END, others=others)
        found = self.rows(query)
        stay = [row for row in found if not row["ended"]]
        until = time.monotonic() + 2.0
        while len(stay) < len(found) and time.monotonic() < until:
            left = self.rows(f"SELECT count(*) AS left FROM pg_stat_activity WHERE {others}")[0]["left"]
            if left <= len(stay):
                break
            time.sleep(0.01)
        form = "a session of {user} ({program}, process {pid}, from {from})"
        return [form.format(**dict(row, **{"from": row["address"] or "this server"})) for row in stay]

    def exchange(self, moves: Iterable[Tuple[str, str]]) -> None:
        """See :class:`Engine`. One transaction, in a session that ends all others first.

        A connection that comes back meanwhile is ended while the renaming waits for it to leave.
        """
        moves = list(moves)
        script = self._exchange_script(moves).encode()
        words, stay, began = "", [], 0.0  # type: Tuple[str, List[str], float]
        for _ in range(EXCHANGE_TRIES):
            self.work.in_time()
            began = time.monotonic()

            def end_all() -> None:
                nonlocal stay, began
                if time.monotonic() - began > RENAMED_SECONDS:
                    began = time.monotonic()
                    stay = [session for old, _ in moves for session in self.end_connections(old)]

            process = self.client.start(
                self.psql(self.maintenance), self.environment(8.0), subprocess.PIPE, subprocess.DEVNULL, alone=True
            )
            said = self.client.pump(process, [script], end_all)
            if said.code == 0:
                return
            words = in_one_line(said.err)
            if "being accessed by other users" not in words and "lock timeout" not in words:
                raise trouble(self.work, "database-refused", words)
        held = "; ".join(stay[:5]) or words
        raise trouble(
            self.work, "in-use", f"{moves[0][0]} can't be renamed, it is in use by what can't be ended: {held}"
        )

    def _exchange_script(self, moves: List[Tuple[str, str]]) -> str:
        """Renames what is there. Whoever is connected gets a moment to leave, or the renaming waits for 0.1 s."""
        names = ", ".join(literal(old) for old, _ in moves)
        others = f"datname IN ({names}) AND pid <> pg_backend_pid() AND usesysid IS NOT NULL AND {MAY_END}"
        orders = [f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others};"]
        still = f"EXISTS (SELECT FROM pg_stat_activity WHERE {others})"
        orders += [f"SELECT pg_sleep({seconds}) WHERE {still};" for seconds in LEAVE_SECONDS]
        orders += ["BEGIN;", "SET LOCAL lock_timeout = '8s';"]
        for old, new in moves:
            order = literal(f"ALTER DATABASE {quoted(old)} RENAME TO {quoted(new)}")
            orders.append(
                f"SELECT {order} WHERE EXISTS (SELECT FROM pg_database WHERE datname = {literal(old)}) \\gexec"
            )
        return "\n".join([*orders, "COMMIT;", ""])

    def tidy(self, of: str) -> None:
        """See :class:`Engine`.

        Autovacuum comes within a minute to what was just filled, and stays for long. A renaming ends it, and waits for
        0.1 s before it looks again whether it has gone (``CountOtherDBBackends``).
        """
        folder, orders = self.data_folder(), self.each_table("VACUUM", of)
        disk = Disk([folder] if folder else [])  # with checksums a vacuum logs every page that it touches
        process = self.client.start(
            self.psql(of), self.environment(LONGEST_SECONDS), subprocess.PIPE, subprocess.DEVNULL, alone=True
        )
        try:
            said = self.client.pump(process, [orders.encode()], disk.look)
        except Unfit:
            self.end_connections(of)  # a vacuum goes on when its client is gone
            raise
        if said.code:
            raise trouble(self.work, "database-refused", in_one_line(said.err))

    def drop(self, of: str) -> None:
        """See :class:`Engine`."""
        for attempt in range(EXCHANGE_TRIES):
            stay = self.end_connections(of)
            try:
                self.sql(f"DROP DATABASE IF EXISTS {quoted(of)};", within=60)
                return
            except Refused as error:
                if attempt == EXCHANGE_TRIES - 1 or "being accessed" not in str(error):
                    raise trouble(self.work, error.kind, f"{error} {'; '.join(stay)}".strip()) from None
            time.sleep(0.2)

    def settle(self, into: str) -> None:
        """See :class:`Engine`. Let the same roles in as the database that serves, with the same settings."""
        grants = self.rows(
            "SELECT a.privilege_type AS right, CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END"
            f" AS role FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = {literal(self.name)}"
        )
        settings = self.rows(
            "SELECT unnest(s.setconfig) AS setting FROM pg_db_role_setting s JOIN pg_database d ON d.oid ="
            f" s.setdatabase WHERE d.datname = {literal(self.name)} AND s.setrole = 0"
        )
        name = quoted(into)
        served = self.found(self.name)
        connect = (served["note"].get("connect") if served else None) or None
        orders = []
        if grants:
            orders.append(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;")
            given = [(row["right"], row["role"]) for row in grants if connect is None or row["right"] != "CONNECT"]
            given += [("CONNECT", role) for role in connect or []]
            orders += [f"GRANT {right} ON DATABASE {name} TO {self._who(role)};" for right, role in given]
        for row in settings:
            key, _, value = row["setting"].partition("=")
            if key != "default_transaction_read_only" and re.match(r"[a-z_.]+\Z", key):
                listed = value if key in ("search_path", "DateStyle") else literal(value)
                orders.append(f"ALTER DATABASE {name} SET {key} = {listed};")
        if orders:
            self.sql("\n".join(["BEGIN;", *orders, "COMMIT;"]))
