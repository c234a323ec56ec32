"""MariaDB can't rename a database. All tables change places in one ``RENAME TABLE``, which is done whole or not at all;
what can't be renamed (views, routines, events, triggers) is written down before, taken away, and made again.

What is still to do is read from the plan that was written down and from where the tables are, so that an exchange that
was cut off at any order is finished when it is asked for again.
"""

import re
from typing import Any, Iterable, List, Tuple

from .client import trouble
from .core import Answer, Refused
from .mariadb import MariaDBServer, literal, quoted

KINDS = ("VIEW", "FUNCTION", "PROCEDURE", "TRIGGER", "EVENT")
"""In the order of their making; views may stand on functions, and on each other."""
DEFINER = re.compile(
    r"^CREATE (?:OR REPLACE )?(?:ALGORITHM=\w+ )?(DEFINER=(?:`(?:[^`]|``)*`|[\w.%-]+)@(?:`(?:[^`]|``)*`|[\w.%-]+) )"
)
TRIES = 4


def definitions(server: MariaDBServer, of: str) -> List[Answer]:
    """Everything in a schema that can't be renamed, with the order that makes it."""
    where = {
        "VIEW": ("TABLE_NAME", "VIEWS", "TABLE_SCHEMA"),
        "FUNCTION": ("ROUTINE_NAME", "ROUTINES", "ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_SCHEMA"),
        "PROCEDURE": ("ROUTINE_NAME", "ROUTINES", "ROUTINE_TYPE = 'PROCEDURE' AND ROUTINE_SCHEMA"),
        "TRIGGER": ("TRIGGER_NAME", "TRIGGERS", "TRIGGER_SCHEMA"),
        "EVENT": ("EVENT_NAME", "EVENTS", "EVENT_SCHEMA"),
    }
    found = []
    for kind in KINDS:
        column, table, condition = where[kind]
        for name in server.names(column, table, f"{condition} = {literal(of)}"):
            fields = server.sql(f"SHOW CREATE {kind} {quoted(name)}\\G", of)
            text = _text(fields, kind)
            if text is None:
                raise trouble(
                    server.work, "no-right",
                    f"the {kind.lower()} {name} of {of} can't be read: {server.user} needs SHOW VIEW, TRIGGER and "
                    "EVENT on it, and SELECT on mysql.proc",
                )  # fmt: skip
            mode = re.search(r"^\s*sql_mode: (.*)$", fields, re.MULTILINE)
            found.append({"kind": kind, "name": name, "text": text, "mode": mode.group(1).strip() if mode else None})
    return found


def _text(fields: str, kind: str) -> Any:
    """The order in an answer with a field a line; it may go over many lines, up to the next field."""
    title = {"VIEW": "Create View", "FUNCTION": "Create Function", "PROCEDURE": "Create Procedure",
             "TRIGGER": "SQL Original Statement", "EVENT": "Create Event"}[kind]  # fmt: skip
    match = re.search(
        rf"^\s*{title}: (.*?)\n\s*(?:character_set_client|Database Collation): ", fields, re.DOTALL | re.MULTILINE
    )
    return match.group(1) if match is not None and match.group(1) != "NULL" else None


class Exchange:
    """One; ``moves`` are made in their order, so that the second may take the name that the first set free."""

    def __init__(self, server: MariaDBServer) -> None:
        self.server = server

    def begin(self, moves: Iterable[Tuple[str, str]]) -> None:
        """Write down what is to be done, unless that stands there from a try that was cut off; then do it."""
        if self.server.read_state("exchange") is None:
            there = {entry["name"]: entry["note"] for entry in self.server.databases()}
            plan = [
                {"from": old, "to": new, "note": there[old], "tables": self.server.base_tables(old),
                 "others": definitions(self.server, old), "charset": self._charset(old)}
                for old, new in moves if old in there
            ]  # fmt: skip
            for move in plan:
                if not move["tables"]:
                    raise trouble(
                        self.server.work, "no-tables", f"{move['from']} has no table: it is no database of a site"
                    )
            self.server.write_state("exchange", plan)
        self.finish()

    def finish(self) -> None:
        """Do what is left of it."""
        plan = self.server.read_state("exchange")
        if not plan:
            return
        for move in plan:
            self.server.sql("CREATE DATABASE IF NOT EXISTS {} {};".format(quoted(move["to"]), move["charset"]))
        if not self._moved(plan):
            self._take_away(plan)
            self._rename(plan)
        self._take_away(plan, old_only=True)
        for move in plan:
            self.server.sql("ALTER DATABASE {} {};".format(quoted(move["to"]), move["charset"]))
            self.server.set_note(move["to"], move["note"])
            self._make(move)
        for name in {move["from"] for move in plan} - {move["to"] for move in plan}:
            if self.server.base_tables(name):
                raise trouble(self.server.work, "not-so", f"{name} should be empty by now, and has tables")
            self.server.sql(f"DROP DATABASE IF EXISTS {quoted(name)};")
        self.server.write_state("exchange", None)

    def _moved(self, plan: List[Answer]) -> bool:
        """Whether the tables are where they should be: what moved last is what its name has now."""
        last = plan[-1]
        return set(last["tables"]) <= set(self.server.base_tables(last["to"])) and not self.server.base_tables(
            last["from"]
        )

    def _take_away(self, plan: List[Answer], old_only: bool = False) -> None:
        """Drop what can't be renamed, where it was; what takes its name later is not yet there."""
        for move in plan:
            for one in move["others"]:
                if old_only and one["kind"] == "TRIGGER":
                    continue  # gone before, and one of this name may be made again by now
                if not old_only and one["kind"] != "TRIGGER":
                    continue  # only triggers keep tables from being renamed; the rest serves until then
                name = f"{quoted(move['from'])}.{quoted(one['name'])}"
                self.server.sql(f"DROP {one['kind']} IF EXISTS {name};")

    def _rename(self, plan: List[Answer]) -> None:
        names = [
            f"{quoted(move['from'])}.{quoted(table)} TO {quoted(move['to'])}.{quoted(table)}"
            for move in plan
            for table in move["tables"]
        ]
        for attempt in range(TRIES):
            stay = [said for move in plan for said in self.server.end_connections(move["from"])]
            self.server.work.in_time()
            try:
                self.server.sql(f"RENAME TABLE {', '.join(names)};", within=60)
                return
            except Refused as error:
                if "1205" not in str(error) or attempt == TRIES - 1:
                    held = f"; in use by {'; '.join(stay)}" if stay else ""
                    kind = "in-use" if "1205" in str(error) else "database-refused"
                    raise trouble(self.server.work, kind, f"the tables can't be renamed: {error}{held}") from None

    def _make(self, move: Answer) -> None:
        """Make again what couldn't be renamed; what stands on what isn't there yet waits for the next round."""
        left: List[Answer] = list(move["others"])
        while left:
            later: List[Answer] = []
            words = ""
            for one in left:
                try:
                    self._make_one(move["to"], one)
                except Refused as error:
                    words = str(error)
                    later.append(one)
            if len(later) == len(left):
                named = ", ".join(f"{one['kind'].lower()} {one['name']}" for one in later)
                raise trouble(self.server.work, "not-so", f"{named} can't be made again in {move['to']}: {words}")
            left = later

    def _make_one(self, of: str, one: Answer) -> None:
        text = re.sub(r"^CREATE (?!OR REPLACE)", "CREATE OR REPLACE ", one["text"])
        mode = f"SET SESSION sql_mode = {literal(one['mode'])};\n" if one["mode"] is not None else ""
        try:
            self.server.sql(f"{mode}DELIMITER //\n{text}\n//\n", of)
        except Refused as error:
            definer = DEFINER.search(text)
            if "1227" not in str(error) or definer is None:
                raise
            # Only an account with SET USER may make it in another's name; then it is ours.
            self.server.sql(f"{mode}DELIMITER //\n{text.replace(definer.group(1), '', 1)}\n//\n", of)
            self.server.work.places.log(f"{one['kind'].lower()} {one['name']} of {of} is run as {self.server.user} now")

    def _charset(self, of: str) -> str:
        rows = self.server.rows(
            "'charset', DEFAULT_CHARACTER_SET_NAME, 'collation', DEFAULT_COLLATION_NAME",
            f"FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {literal(of)}",
        )
        return "CHARACTER SET {charset} COLLATE {collation}".format(**rows[0])
