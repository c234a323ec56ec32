"""How many rows a dump holds of each table, counted in its own text: what a restored database must have again."""

import re
from typing import Dict, Iterable, Optional

MOST_TABLES = 5000


def postgresql_rows(lines: Iterable[bytes]) -> Optional[Dict[str, int]]:
    """Rows by table, ``schema.table``, of a dump's text; None where its data aren't ``COPY`` blocks."""
    rows: Dict[str, int] = {}
    table: Optional[str] = None
    count = 0
    for line in lines:
        if table is not None:
            if line == b"\\.":
                rows[table], table = count, None
            else:
                count += 1
        elif line[:5] == b"COPY " and line.endswith(b" FROM stdin;"):
            name = re.match(rb'COPY ((?:"(?:[^"]|"")*"|[^ ".(]+)(?:\.(?:"(?:[^"]|"")*"|[^ ".(]+))?)', line)
            if name is not None:
                table, count = _unquoted(name.group(1), '"'), 0
    return rows if rows and table is None and len(rows) <= MOST_TABLES else None


STRING = re.compile(rb"'(?:[^'\\]|\\.)*'", re.DOTALL)


def mariadb_rows(lines: Iterable[bytes]) -> Optional[Dict[str, int]]:
    """Rows by table of a dump's text: of every ``INSERT``, what begins with a parenthesis outside of strings."""
    rows: Dict[str, int] = {}
    table: Optional[str] = None
    for line in lines:
        if table is None:
            if line[:14] == b"CREATE TABLE `":
                name = re.match(rb"CREATE TABLE (`(?:[^`]|``)*`) \(", line)
                if name is not None:
                    rows.setdefault(_unquoted(name.group(1), "`"), 0)
                continue
            if line[:13] != b"INSERT INTO `":
                continue
            name = re.match(rb"INSERT INTO (`(?:[^`]|``)*`)[^']*? ?VALUES", line)
            if name is None:
                return None
            table = _unquoted(name.group(1), "`")
            line = line[name.end() :]
        bare = STRING.sub(b"", line)
        rows[table] = rows.get(table, 0) + bare.count(b"(")
        if bare.rstrip().endswith(b";"):
            table = None
    return rows if rows and table is None and len(rows) <= MOST_TABLES else None


def _unquoted(name: bytes, quote: str) -> str:
    text = name.decode("utf-8", "replace")
    parts = re.findall(f"{quote}(?:[^{quote}]|{quote}{quote})*{quote}|[^{quote}.]+", text)
    return ".".join(part[1:-1].replace(quote * 2, quote) if part[0] == quote else part for part in parts)
