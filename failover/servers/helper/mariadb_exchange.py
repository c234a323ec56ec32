"""MariaDB can't rename a database. All tables change places in one ``RENAME TABLE``, which is done whole or not at all;
what can't be renamed is read before, taken away, and made again.

What is still to do is read from the plan that was written down and from where the tables are. An exchange that was cut
off before they moved is taken back, one that was cut off after that is finished: by whatever is asked for next.
"""

from typing import Any, Iterable, List, Tuple

from .client import trouble
from .core import Answer, Refused
from .mariadb import literal, quoted
from .mariadb_objects import dropping, make_objects, of_the_site, read_objects
from .mariadb_sessions import MariaDBSessions

TRIES = 3
LOCK_SECONDS = 3
"""How long the tables are waited for, and whoever asks for them waits with us."""


class Exchange:
    """One; ``moves`` are made in their order, so that the second may take the name that the first set free."""

    def __init__(self, server: Any) -> None:
        self.server: MariaDBSessions = server

    def begin(self, moves: Iterable[Tuple[str, str]]) -> None:
        """Write down what is to be done, then do it.

        Raises:
            Failed: ``in-use``, ``database-refused``: it can't be done, and all is as it was.
        """
        there = {entry["name"]: entry["note"] for entry in self.server.databases()}
        remembered = self.server.read_state("definers") or {}
        plan = []
        for old, new in moves:
            if old in there:
                others = read_objects(self.server, old)
                if new == self.server.name:
                    others = of_the_site(self.server, others, remembered.get(old, {}))
                plan.append({
                    "from": old, "to": new, "note": there[old], "tables": self.server.base_tables(old),
                    "others": others, "charset": self._charset(old),
                })  # fmt: skip
        if not plan or not plan[-1]["tables"]:
            raise trouble(self.server.work, "no-tables", "there is no table in what is to be put in place")
        self.server.write_state("exchange", plan)
        try:
            self._move(plan)
        except Refused:
            if self._left(plan) == [move["tables"] for move in plan]:
                self._take_back(plan)
            raise
        self._finish(plan)

    def resume(self) -> None:
        """Deal with one that was cut off."""
        plan = self.server.read_state("exchange")
        if not plan:
            return
        self.server.end_renaming()
        left = self._left(plan)
        if left == [move["tables"] for move in plan]:
            self._take_back(plan)
            return
        if any(left):  # a server older than 10.6 may be cut off between two tables of one order
            self._move(plan)
        self._finish(plan)

    def _left(self, plan: List[Answer]) -> List[List[str]]:
        """The tables that didn't move yet, by move: what the first one fills was empty, what the last one empties
        gets nothing."""
        left = []
        for move in plan:
            last = move is plan[-1]
            there = set(self.server.base_tables(move["from"] if last else move["to"]))
            left.append([table for table in move["tables"] if (table in there) == last])
        return left

    def _move(self, plan: List[Answer]) -> None:
        for move in plan:
            self.server.sql("CREATE DATABASE IF NOT EXISTS {} {};".format(quoted(move["to"]), move["charset"]))
        names = [
            "{}.{} TO {}.{}".format(quoted(move["from"]), quoted(table), quoted(move["to"]), quoted(table))
            for move, tables in zip(plan, self._left(plan))  # noqa: B905 - zip(strict=) came with Python 3.10
            for table in tables
        ]
        away = "".join(dropping(move["from"], self._in_the_way(plan, move)) for move in plan)
        self._insist(plan, f"{away}RENAME TABLE {', '.join(names)};")

    def _insist(self, plan: List[Answer], orders: str) -> None:
        databases = [move["from"] for move in plan]
        for attempt in range(TRIES):
            self.server.work.in_time()
            try:
                self.server.insist(orders, databases, LOCK_SECONDS)
                return
            except Refused as error:
                busy = "ERROR 1205" in str(error) or "ERROR 1213" in str(error)
                if busy and attempt < TRIES - 1:
                    continue
                held = "; ".join(self.server.holders(databases)[:5]) if busy else ""
                raise trouble(
                    self.server.work, "in-use" if busy else error.kind,
                    "the tables of {} can't be renamed: {}".format(plan[0]["from"], held or error),
                ) from None  # fmt: skip

    @staticmethod
    def _in_the_way(plan: List[Answer], move: Answer) -> List[Answer]:
        """What keeps tables from moving: triggers of their own, and views where a table is to come."""
        come = {table for other in plan if other["to"] == move["from"] for table in other["tables"]}
        return [
            one for one in move["others"] if one["kind"] == "TRIGGER" or one["kind"] == "VIEW" and one["name"] in come
        ]

    def _finish(self, plan: List[Answer]) -> None:
        """Make again, where the tables are, what couldn't be renamed; what was emptied goes."""
        there = {entry["name"] for entry in self.server.databases()}
        away = [
            dropping(move["from"], [one for one in move["others"] if one["kind"] != "TRIGGER"])
            for move in plan if move["from"] in there
        ]  # fmt: skip
        self.server.insist("".join(away), [move["from"] for move in plan], LOCK_SECONDS)
        for move in plan:
            self.server.sql("ALTER DATABASE {} {};".format(quoted(move["to"]), move["charset"]))
            self.server.set_note(move["to"], move["note"])
            make_objects(self.server, move["to"], move["others"])
        for name in {move["from"] for move in plan} - {move["to"] for move in plan}:
            self._drop_empty(name)
        there = {entry["name"] for entry in self.server.databases()}
        remembered = self.server.read_state("definers") or {}
        for move in plan:
            remembered[move["to"]] = {
                "{} {}".format(one["kind"], one["name"]): one["definer"] for one in move["others"] if one["definer"]
            }
        self.server.write_state("definers", {
            name: definers for name, definers in remembered.items() if name in there and name != self.server.name
        })  # fmt: skip
        self.server.write_state("exchange", None)

    def _take_back(self, plan: List[Answer]) -> None:
        """No table moved: what was taken away is made again, and what was made for them goes."""
        for move in plan:
            make_objects(self.server, move["from"], self._in_the_way(plan, move))
        for name in {move["to"] for move in plan} - {move["from"] for move in plan}:
            self._drop_empty(name)
        self.server.write_state("exchange", None)

    def _drop_empty(self, name: str) -> None:
        if self.server.base_tables(name):
            raise trouble(self.server.work, "not-so", f"{name} should be empty by now, and has tables")
        self.server.sql(f"DROP DATABASE IF EXISTS {quoted(name)};")

    def _charset(self, of: str) -> str:
        rows = self.server.rows(
            "'charset', DEFAULT_CHARACTER_SET_NAME, 'collation', DEFAULT_COLLATION_NAME",
            f"FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {literal(of)}",
        )
        return "CHARACTER SET {charset} COLLATE {collation}".format(**rows[0])
