"""MariaDB's sessions: who is connected, who keeps tables from being renamed, and how they are made to leave."""

import subprocess
import time
from typing import List

from .client import MOST_SAID, end
from .core import Answer
from .mariadb import MariaDBServer, literal, quoted

NAMED = "a connection of {user} from {host} (number {id})"


class MariaDBSessions(MariaDBServer):
    """See :class:`Engine`."""

    def end_connections(self, of: str) -> List[str]:
        """See :class:`Engine`."""
        return self._end(self._in([of]))

    @staticmethod
    def _in(of: List[str]) -> str:
        names = ", ".join(map(literal, of))
        return f"DB IN ({names}) AND COMMAND NOT IN ('Binlog Dump', 'Daemon')"

    def _end(self, where: str) -> List[str]:
        until = time.monotonic() + 2.0
        while True:
            found = self._kill(where)
            if not found or time.monotonic() > until:
                return [NAMED.format(**row) for row in found]
            time.sleep(0.02)

    def _kill(self, where: str) -> List[Answer]:
        """Those that fit, told to end. What ended by itself meanwhile, or may not be ended, is passed over."""
        found = self.rows(
            "'id', ID, 'user', USER, 'host', HOST",
            f"FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND {where} ORDER BY ID",
        )
        if found:
            kills = " ".join("KILL CONNECTION {};".format(int(row["id"])) for row in found)
            passed = "DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;"
            self.sql(f"DELIMITER //\nBEGIN NOT ATOMIC {passed} {kills} END//\n")
        return found

    def insist(self, orders: str, of: List[str], lock_seconds: int) -> None:
        """Carry out orders that need tables of these databases for themselves: whoever is in them is ended, and
        ended anew until it is done. Others wait for a table behind us, so that it ends.

        Raises:
            Refused, Failed: as :meth:`sql`.
        """
        process = self.client.start(self.argv(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, alone=True)
        try:
            assert process.stdin is not None and process.stderr is not None  # noqa: S101, PT018 - asked for
            try:
                process.stdin.write((self.head(lock_seconds) + orders).encode())
                process.stdin.close()
            except BrokenPipeError:
                pass  # it ended early, and says why
            while True:
                self.work.in_time()
                try:
                    process.wait(0.1)
                    break
                except subprocess.TimeoutExpired:
                    self._kill(f"{self._in(of)} AND USER <> {literal(self.user)}")  # we are in them ourselves
            said = process.stderr.read(MOST_SAID).decode("utf-8", "replace")
        finally:
            end(process)
        if process.returncode:
            raise self.failed(said)

    def holders(self, of: List[str]) -> List[str]:
        """Who may keep tables of these databases from being renamed: those in them, and whoever has begun something.

        Others name the tables with their database, and in which database that is the server doesn't tell.
        """
        begun = "ID IN (SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX)"
        found = self.rows(
            "'id', ID, 'user', USER, 'host', HOST",
            "FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER <> 'event_scheduler' AND"
            f" ({begun} OR {self._in(of)}) ORDER BY ID",
        )
        return [NAMED.format(**row) for row in found]

    def end_renaming(self) -> None:
        """End what was asked for by one of us that was killed: the server goes on with it for a while."""
        self._end(f"USER = {literal(self.user)} AND INFO LIKE 'RENAME TABLE%'")

    def drop(self, of: str) -> None:
        """See :class:`Engine`."""
        self.end_connections(of)
        self.sql(f"DROP DATABASE IF EXISTS {quoted(of)};", within=600)
