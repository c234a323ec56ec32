"""A dump of MariaDB on its way to the client, line by line: what leads elsewhere is kept out, the end is looked for.

The account that it is restored by can reach nothing else; this says earlier and more plainly what is wrong.
"""

import re
from typing import Iterable, Iterator, List

from .engine import Unfit
from .mariadb import quoted

DUMP_END = b"-- Dump completed"
ELSEWHERE = re.compile(
    rb"\s*(?:/\*M?!\d* ?)?(?:USE\b|(?:CREATE|DROP|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:DATABASE|SCHEMA|USER|ROLE)\b"
    rb"|GRANT\b|REVOKE\b|SET\s+(?:GLOBAL|@@GLOBAL|PASSWORD|ROLE|DEFAULT)\b|LOAD\s|FLUSH\b|RESET\b|CHANGE\s+MASTER|INSTALL\b|SHUTDOWN\b)",
    re.IGNORECASE,
)
DEFINER = re.compile(rb" ?DEFINER ?= ?(`(?:[^`]|``)*`@`(?:[^`]|``)*`)")
CREATES = (b"CREATE", b"/*!", b"/*M!")
EVENT = re.compile(rb"(\bEVENT `.*? ON COMPLETION (?:NOT )?PRESERVE) ENABLE\b")


class Text:
    """One dump's."""

    def __init__(self, name: str) -> None:
        self._names = {form.encode() for form in (name, quoted(name))}
        either = b"(?:%s)" % b"|".join(sorted(re.escape(form) for form in self._names))
        self._trigger = re.compile(
            rb"(\bTRIGGER\s+)(?:%s\s*\.\s*)?((?:`(?:[^`]|``)+`|\w+)\s+(?:BEFORE|AFTER)\s+\w+\s+ON\s+)(?:%s\s*\.\s*)?"
            % (either, either),
            re.IGNORECASE,
        )
        self._ended = False
        self._definers = 0

    def lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """What the client is to be given.

        Raises:
            Unfit: ``bad-backup``: it ends in the middle; ``hostile-backup``: it leads to other databases.
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
            if line.startswith(CREATES):
                line = self._made_here(line)
            yield line
        if not self._ended:
            raise Unfit("bad-backup", f"it ends in the middle: '{DUMP_END.decode()[3:]}' is missing")

    def _made_here(self, line: bytes) -> bytes:
        """Whoever made it has no rights on what is restored beside what serves; nor may events run there, or triggers
        that name their database be made in the one that serves."""
        line, count = DEFINER.subn(b"", line)
        self._definers += count
        return self._trigger.sub(rb"\1\2", EVENT.sub(rb"\1 DISABLE ON SLAVE", line))

    def _own(self, line: bytes) -> None:
        """Dumps of a database with its name begin by making and choosing it; that is left out, all else is refused."""
        creates = rb"CREATE DATABASE (?:/\*!32312 IF NOT EXISTS ?\*/ )?(?:IF NOT EXISTS )?"
        match = re.match(rb"\s*(?:" + creates + rb"|USE |/\*!\d+ DROP DATABASE IF EXISTS )([^\s;*]+)", line)
        if match is None or match.group(1) not in self._names:
            raise Unfit(
                "hostile-backup",
                f"it would change more than its database: {line[:80].decode('utf-8', 'replace').strip()}",
            )

    def warnings(self, owner: str) -> List[str]:
        """What is worth knowing of it."""
        if not self._definers:
            return []
        return [f"{self._definers} views, routines, triggers or events will run as {owner}, not as those who made them"]
