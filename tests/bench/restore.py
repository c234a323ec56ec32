"""Restoring a database of 1 GB: the helper's way beside the engine's own tool, of one dump, on one server, in turn.

``python -m tests.bench.restore [--gigabytes 1] [--rounds 3] [--engine postgresql]``. The lab's database is grown, its
backup made as every night, and restored on the server that stands by: by the verb ``database`` over the daemon's own
session, and by `createdb` and `pg_restore -j2 --exit-on-error`, or by `zcat` into `mariadb`. Ours makes sure of more:
that the dump is for this server, that every table has the rows that were counted in it, that the planner knows them.
The hosts' disks lie on a real disk.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from tests.bench import filler, results
from tests.bench.orders import Orders
from tests.bench.sheet import Sheet, shown, times
from tests.e2e.bureau import Bureau, lab_config
from tests.lab import EVERYONE, Host, Lab, LabError
from tests.lab.databases import AS_POSTGRES, ask

ENGINES = {"postgresql": "PostgreSQL", "mariadb": "MariaDB"}
NAMES = {
    "postgresql": "`createdb`, `pg_restore -j2 --exit-on-error`",
    "mariadb": "`create database`, `zcat` into `mariadb`",
}
COPIES = 5
"""Of the database, at once: what serves, one restored by each way, the dump, and the log of filling them."""
MADE, INTO, PLAIN = "wcm-db-20261124T020000Z", "wcm__20261124t020000", "plain"
DUMP = "/var/lib/plain-dump"
THEIRS = {
    "postgresql": f"{AS_POSTGRES} createdb {PLAIN} && {AS_POSTGRES} pg_restore -j2 --exit-on-error -d {PLAIN} {DUMP}",
    "mariadb": f"mariadb -e 'create database {PLAIN}' && zcat {DUMP} | mariadb {PLAIN}",
}
RESTORE_SECONDS_A_GB = 600.0
MARIADB = {
    "engine: postgresql": "engine: mariadb",
    "postgresql@15-main.service": "mariadb.service",
    "(select string_agg(text, ' ') from": "(select group_concat(text separator ' ') from",
}
"""What another engine has in the config of the lab's whole site."""


def config(engine: str) -> str:
    """The lab's whole site, on this engine.

    Raises:
        ValueError: ``configs/lab-whole.yaml`` no longer has what is changed here.
    """
    text = lab_config("lab-whole")
    for usual, instead in MARIADB.items() if engine == "mariadb" else ():
        if usual not in text:
            raise ValueError(f"configs/lab-whole.yaml has no {usual!r} any more")
        text = text.replace(usual, instead)
    return text


class Pair:
    """The two ways, on one server and one dump."""

    def __init__(self, bureau: Bureau, orders: Orders, engine: str, within: float) -> None:
        self.lab, self.server, self.orders = bureau.lab, bureau.lab["db-backup"], orders
        self.engine, self.within = engine, within
        made, _ = orders.change("db-backup", "backups", within, set="wcm-db", want="made", id=MADE, source="db")
        self.dump_bytes = int(made["bytes"])
        reader = "postgres" if engine == "postgresql" else "root"
        self.server.run(["install", "-o", reader, "-m", "600", made["path"], DUMP], timeout=300)

    def ours(self) -> dict[str, Any]:
        """The verb; how long its parts took, too."""
        answer, seconds = self.orders.change(
            "db-backup", "database", self.within, name="wcm", want="restored", set="wcm-db", backup=MADE, into=INTO
        )
        phases = answer["phases"]
        return {"seconds": seconds, "filling_seconds": phases["restore"], "checking_seconds": phases["check"]}

    def theirs(self) -> dict[str, Any]:
        """What people would type, with two names that are ours."""
        return {"seconds": self.server.run(THEIRS[self.engine], timeout=self.within).seconds}

    def same(self) -> bool:
        """Whether both hold every row."""
        found = [filler.rows(self.lab, host, name) for host, name in self._places()]
        return found[0] == found[1] == found[2]

    def _places(self) -> list[tuple[Host, str]]:
        return [(self.lab["db"], "wcm"), (self.server, INTO), (self.server, PLAIN)]

    def clear(self) -> None:
        """Both are gone, and the disk has caught up."""
        self.orders.change("db-backup", "database", 120, name="wcm", want="dropped", into=INTO)
        ask(self.lab, self.server, f"drop database if exists {PLAIN}")
        filler.calm(self.lab, self.server)


def measure(
    gigabytes: float = 1.0, rounds: int = 3, engines: Sequence[str] = tuple(ENGINES),
    say: Callable[[str], object] = lambda _text: None,
) -> dict[str, Any]:  # fmt: skip
    """Each engine, ``rounds`` times; who comes first changes from round to round."""
    if why := filler.need(gigabytes, COPIES):
        raise LabError(why)
    watch = results.Watch()
    found = {engine: _one(engine, gigabytes, rounds, watch, say) for engine in engines}
    return results.write("restore", watch, {"rounds": rounds, "gigabytes": gigabytes, "engines": found})


def _one(
    engine: str, gigabytes: float, rounds: int, watch: results.Watch, say: Callable[[str], object]
) -> dict[str, Any]:
    taken: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    same = True
    within = 120 + RESTORE_SECONDS_A_GB * gigabytes
    with results.disk_folder() as disks, Lab(EVERYONE, wcm=engine, disks=disks) as lab:
        bureau = Bureau(lab, config(engine))
        bureau.enroll()
        size = filler.grow(lab, lab["db"], gigabytes)
        with Orders(bureau) as orders:
            pair = Pair(bureau, orders, engine, within)
            say(f"{ENGINES[engine]}: {size / 1e9:.2f} GB, its dump {pair.dump_bytes / 1e6:.0f} MB")
            for number in range(rounds):
                watch.look()
                for who in list(taken)[:: 1 if number % 2 == 0 else -1]:
                    filler.calm(lab, lab["db-backup"])
                    taken[who].append(pair.ours() if who == "ours" else pair.theirs())
                    say(f"round {number + 1}: {ENGINES[engine]}, {who}: {taken[who][-1]['seconds']:.2f} s")
                same = same and pair.same()
                pair.clear()
    return {"bytes": size, "dump_bytes": pair.dump_bytes, "same": same, **summary(taken["ours"], taken["theirs"])}


def summary(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """Both beside each other, and ours without what only ours does."""
    mine, its = (results.spread(one["seconds"] for one in taken) for taken in (ours, theirs))
    filling, checking = (results.spread(one[key] for one in ours) for key in ("filling_seconds", "checking_seconds"))
    return {
        "ours": mine, "theirs": its, "ratio": results.ratio(mine, its), "filling": filling, "checking": checking,
        "filling_ratio": results.ratio(filling, its),
    }  # fmt: skip


def sheets(data: dict[str, Any]) -> list[Sheet]:
    """An engine a row."""
    sheet = Sheet(
        f"Restoring {data['gigabytes']:g} GB",
        (
            "",
            "ours",
            "its own tool",
            "ours / its own",
            "ours: filling",
            "filling / its own",
            "ours: counting, analysing",
        ),
    )
    for engine, one in data["engines"].items():
        sheet.add(
            ENGINES[engine], shown(one["ours"]), shown(one["theirs"]), times(one["ratio"]), shown(one["filling"]),
            times(one["filling_ratio"]), shown(one["checking"]),
        )  # fmt: skip
        sheet.notes.append(
            f"{ENGINES[engine]}: {one['bytes'] / 1e6:.0f} MB on the disk, {one['dump_bytes'] / 1e6:.0f} MB as a dump; "
            f"its own tool: {NAMES[engine]}."
        )
        if not one["same"]:
            sheet.notes.append(f"**{ENGINES[engine]}: not every row came back.**")
    return [sheet]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.restore", description="Restoring a database.")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=ENGINES, help="only this one")
    given = parser.parse_args()
    console = Console(width=results.WIDTH)
    engines = (given.engine,) if given.engine else tuple(ENGINES)
    for sheet in sheets(measure(given.gigabytes, given.rounds, engines, console.print)):
        sheet.show(console)


if __name__ == "__main__":
    main()
