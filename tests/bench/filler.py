"""Makes the lab's database large: tables beside the site's own, so that it is as big as is asked for."""

from __future__ import annotations

from tests.bench import results
from tests.lab import Host, Lab
from tests.lab.databases import CLIENTS, ask, engine

TABLES = 4
"""More than one, or ``pg_restore -j`` has nothing to share out."""
ROW_BYTES = 1030
"""What a row and its share of the indexes take on the disk, about."""
LOAD_SECONDS = 900
WORDS = "全市统计工作会议召开，部署年度统计调查任务，发布国民经济运行情况。"
FILL = {
    "postgresql": (
        "create table if not exists filler_{table} (id int primary key, word char(32) not null, body text not null);"
        "alter table filler_{table} owner to wcm;"
        "insert into filler_{table} select g, md5(g::text), md5(g || 'a') || md5(g || 'b') ||"
        " md5(g || 'c') || repeat('{words}', 8) from generate_series({first}, {last}) g;"
        "create index if not exists filler_{table}_word on filler_{table} (word);"
    ),
    "mariadb": (
        "create table if not exists filler_{table} (id int primary key, word char(32) character set ascii not null,"
        " body text not null, key (word)) engine=InnoDB;"
        "insert into filler_{table} select seq, md5(seq), concat(md5(concat(seq, 'a')), md5(concat(seq, 'b')),"
        " md5(concat(seq, 'c')),"
        " repeat('{words}', 8)) from seq_{first}_to_{last};"
    ),
}
NAMES = {
    "postgresql": "select tablename from pg_tables where schemaname = 'public' and tablename like 'filler%'",
    "mariadb": "show tables like 'filler%'",
}
SIZE = {
    "postgresql": "select pg_database_size('{name}')",
    "mariadb": "select sum(file_size) from information_schema.innodb_sys_tablespaces where name like '{name}/%'",
}


def grow(lab: Lab, host: Host, gigabytes: float) -> int:
    """Add rows to the database ``wcm`` on a host until it has about so many bytes; how many it has then."""
    kind = engine(lab)
    there = int(ask(lab, host, SIZE[kind].format(name="wcm"))[0][0])
    known = rows(lab, host, "wcm")
    more = max(0, round((gigabytes * 1e9 - there) / ROW_BYTES / TABLES))
    for table in range(1, TABLES + 1):
        begin = known.get(f"filler_{table}", 0) + 1
        if more:
            order = FILL[kind].format(table=table, first=begin, last=begin + more - 1, words=WORDS)
            host.run(CLIENTS[kind].format(database="wcm"), stdin=order, timeout=LOAD_SECONDS)
    calm(lab, host)
    return size(lab, host)


def size(lab: Lab, host: Host, database: str = "wcm") -> int:
    """Bytes of a database on its disk."""
    return int(ask(lab, host, SIZE[engine(lab)].format(name=database))[0][0])


def rows(lab: Lab, host: Host, database: str) -> dict[str, int]:
    """Exact rows of the filler, by table; a table that isn't there is left out."""
    there = ask(lab, host, NAMES[engine(lab)], database)
    return {
        name: int(ask(lab, host, f"select count(*) from {name}", database)[0][0])  # noqa: S608 - names of ours
        for (name,) in sorted(there)
    }


def calm(lab: Lab, host: Host) -> None:
    """What was written before reaches the disk now, and not while something is measured."""
    if engine(lab) == "postgresql":
        ask(lab, host, "checkpoint")
    host.run("sync", timeout=300)


def need(gigabytes: float, copies: float) -> str | None:
    """Why there is no room for so many copies of a database of that size, or None."""
    free = results.free_bytes() / 1e9
    wanted = gigabytes * copies
    return None if free >= wanted else f"{results.disk()} has {free:.0f} GB free, and {wanted:.0f} GB are needed"
