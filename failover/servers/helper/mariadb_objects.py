"""What MariaDB can't rename: views, routines, packages, triggers, events. They are read as orders, and made anew.

They run as whoever they name. In a database that serves that is an account of the site's. In one beside it nobody of
the site's has rights, so that they name us there; and events sleep, as they do on a replica: what doesn't serve must
do nothing by itself.
"""

import os
import re
from typing import Any, Iterable, List, Optional

from .client import trouble
from .core import Answer, Refused
from .mariadb import literal, quoted
from .mariadb_sessions import MariaDBSessions

KINDS = {
    "FUNCTION": ("ROUTINES", "ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_SCHEMA", "ROUTINE_NAME", 2),
    "PROCEDURE": ("ROUTINES", "ROUTINE_TYPE = 'PROCEDURE' AND ROUTINE_SCHEMA", "ROUTINE_NAME", 2),
    "PACKAGE": ("ROUTINES", "ROUTINE_TYPE = 'PACKAGE' AND ROUTINE_SCHEMA", "ROUTINE_NAME", 2),
    "PACKAGE BODY": ("ROUTINES", "ROUTINE_TYPE = 'PACKAGE BODY' AND ROUTINE_SCHEMA", "ROUTINE_NAME", 2),
    "VIEW": ("VIEWS", "TABLE_SCHEMA", "TABLE_NAME", 1),
    "EVENT": ("EVENTS", "EVENT_SCHEMA", "EVENT_NAME", 3),
}
"""Where each is listed, and the column of ``SHOW CREATE`` that has its order; character set and collation follow."""
MAKING_SECONDS = 3
"""How long the table of a trigger is waited for: by then the site may use it again."""
ACCOUNT = r"(?:`(?:[^`]|``)*`|[\w.%-]+)(?:@(?:`(?:[^`]|``)*`|[\w.%-]+))?"
ORDER = re.compile(rf"CREATE (?:OR REPLACE )?(ALGORITHM=\w+ )?(?:DEFINER=({ACCOUNT}) )?(.*)\Z", re.DOTALL)
ASLEEP, AWAKE = r"\1 DISABLE ON SLAVE", r"\1 ENABLE"
SLEEP = re.compile(r"(ON COMPLETION (?:NOT )?PRESERVE) ENABLE\b")
WAKE = re.compile(r"(ON COMPLETION (?:NOT )?PRESERVE) DISABLE ON (?:SLAVE|REPLICA)\b")


def account(user: str, host: str) -> str:
    """As orders name it."""
    return f"{quoted(user)}@{quoted(host)}"


def read_objects(server: MariaDBSessions, of: str) -> List[Answer]:
    """All of a database, each ``kind name head rest definer mode collation zone``.

    Raises:
        Failed, Refused: ``no-right``: one can't be read.
    """
    found = []
    for kind, (table, condition, column, at) in KINDS.items():
        for name in server.names(column, table, f"{condition} = {literal(of)}"):
            fields = server.fields(f"SHOW CREATE {kind} {quoted(name)};", of)
            order = ORDER.match(fields[at]) if len(fields) > at + 2 else None
            if order is None:
                raise trouble(
                    server.work, "no-right",
                    f"the {kind.lower()} {name} of {of} can't be read: {server.user} needs all rights on {of}, and "
                    "SELECT on mysql.proc",
                )  # fmt: skip
            found.append({
                "kind": kind, "name": name, "head": order.group(1) or "", "definer": order.group(2),
                "rest": order.group(3), "mode": fields[1] if at > 1 else None, "collation": fields[at + 2],
                "zone": fields[2] if kind == "EVENT" else None,
            })  # fmt: skip
    return found + _triggers(server, of)


def _triggers(server: MariaDBSessions, of: str) -> List[Answer]:
    """In the order in which they fire. Their own text may name the database, so that it isn't used."""
    found = server.rows(
        "'name', TRIGGER_NAME, 'table', EVENT_OBJECT_TABLE, 'when', CONCAT(ACTION_TIMING, ' ', EVENT_MANIPULATION),"
        " 'body', ACTION_STATEMENT, 'definer', DEFINER, 'mode', SQL_MODE, 'collation', COLLATION_CONNECTION",
        f"FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {literal(of)}"
        " ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
    )
    form = "TRIGGER {} {} ON {} FOR EACH ROW {}"
    return [
        {"kind": "TRIGGER", "name": row["name"], "head": "", "definer": account(*row["definer"].rsplit("@", 1)),
         "rest": form.format(quoted(row["name"]), row["when"], quoted(row["table"]), row["body"]), "mode": row["mode"],
         "collation": row["collation"], "zone": None} for row in found
    ]  # fmt: skip


def dropping(of: str, ones: Iterable[Answer]) -> str:
    """The orders that take them away; nothing happens where one isn't there."""
    return "".join("DROP {} IF EXISTS {}.{};\n".format(one["kind"], quoted(of), quoted(one["name"])) for one in ones)


def make_objects(server: MariaDBSessions, of: str, ones: Iterable[Answer]) -> None:
    """Make them; what stands on what isn't there yet waits for the next round.

    Raises:
        Failed, Refused: ``not-so``: one can't be made.
    """
    left = list(ones)
    while left:
        later: List[Answer] = []
        words = ""
        for one in left:
            try:
                _make(server, of, one)
            except Refused as error:
                words = str(error)
                later.append(one)
        if len(later) == len(left):
            named = ", ".join("{} {}".format(one["kind"].lower(), one["name"]) for one in later)
            raise trouble(server.work, "not-so", f"{named} can't be made again in {of}: {words}")
        left = later


def _make(server: MariaDBSessions, of: str, one: Answer) -> None:
    rest = one["rest"]
    if one["kind"] == "EVENT":
        rest = WAKE.sub(AWAKE, rest, 1) if of == server.name else SLEEP.sub(ASLEEP, rest, 1)
    definer = one["definer"] if of == server.name else None
    try:
        _order(server, of, one, rest, definer)
    except Refused as error:
        if "1227" not in str(error) or definer is None:
            raise
        # Only an account with SET USER may make it in another's name; then it is ours.
        _order(server, of, one, rest, None)
        server.work.places.log("{} {} of {} is run as {} now".format(one["kind"].lower(), one["name"], of, server.user))


def _order(server: MariaDBSessions, of: str, one: Answer, rest: str, definer: Optional[str]) -> None:
    # What ends the order is in no text of anybody's: nothing in it can become an order of its own.
    mark = "//" + os.urandom(6).hex()
    named = f"DEFINER={definer} " if definer else ""
    settings = {"collation_connection": one["collation"], "time_zone": one["zone"], "sql_mode": one["mode"]}
    orders = [f"SET SESSION {key} = {literal(value)};" for key, value in settings.items() if value is not None]
    orders += [
        f"USE {quoted(of)};",
        f"DELIMITER {mark}",
        "CREATE OR REPLACE {}{}{}".format(one["head"], named, rest),
        mark,
        "",
    ]
    server.insist("\n".join(orders), [of], MAKING_SECONDS)


def of_the_site(server: Any, ones: Iterable[Answer], remembered: Answer) -> List[Answer]:
    """For a database that will serve: what named us while it didn't names whom it named before, or the owner."""
    owner = server.owner_account()
    ours = (server.user, server.restorer)
    made = []
    for one in ones:
        definer = one["definer"] or ""
        if definer.split("@")[0].strip("`") in ours:
            definer = remembered.get("{} {}".format(one["kind"], one["name"]), owner)
        made.append(dict(one, definer=definer or None))
    return made
