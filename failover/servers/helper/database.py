"""The verb ``database``: what stands there; restore a backup beside what serves, put it in place, keep writes out.

Nothing that serves is touched by a restore (I7): it fills a database of a new name, checks it, and only then notes that
it is whole. What has no such note is half made, and is cleared away by the next restore.
"""

import re
import time
from typing import Any, Callable, Dict

from . import mariadb_restore, postgresql_restore
from .client import Client, trouble
from .core import (
    Answer,
    Args,
    Refused,
    Verb,
    Work,
    among,
    flag,
    not_in_policy,
    text,
)
from .engine import Engine
from .restore import Restore
from .unfit import Down, Unfit

ENGINES: Dict[str, Any] = {"postgresql": postgresql_restore.PostgreSQL, "mariadb": mariadb_restore.MariaDB}


def opened(work: Work, name: str, client: Client) -> Engine:
    """The engine of a database of the policy.

    Raises:
        Refused: ``not-in-policy``, ``bad-policy``.
    """
    entry = work.policy.databases.get(name)
    if entry is None:
        raise not_in_policy("database", name, work.policy.databases)
    try:
        for key in ("name", "owner", "user"):
            if not re.match(r"[a-z_][a-z0-9_]{0,39}\Z", entry[key]):
                raise ValueError(f"{entry[key]!r} is no {key}")
        engine: Engine = ENGINES[entry["engine"]](work, entry, client)
    except (KeyError, TypeError, ValueError) as error:
        raise Refused("bad-policy", f"the database {name!r} of the policy: {error}") from None
    return engine


def _client(work: Work, name: str) -> Client:
    entry = work.policy.databases.get(name) or {}
    return Client(work, str(entry["os_user"])) if "os_user" in entry else Client(work)


# ---------------------------------------------------------------------------------------------------------------------
# asking


def ask_database(work: Work, args: Args) -> Answer:
    """What stands there; with ``rows``, exact counts; with ``query``, the answer to a question of the site's own."""
    with _client(work, args["name"]) as client:
        engine = opened(work, args["name"], client)
        of = engine.of_ours(args.get("of", engine.name))
        try:
            if "query" in args:
                if args["query"] not in engine.queries:
                    raise not_in_policy("query", args["query"], engine.queries)
                return {"value": engine.query(engine.queries[args["query"]], of)}
            if args.get("rows"):
                return {"tables": engine.tables(of)}
            return _state(engine)
        except Down as error:
            if "query" in args or args.get("rows"):
                raise engine.unless_down(str(error)) from None
            return {
                "engine": engine.engine, "version": None, "up": False, "exists": False, "read_only": False,
                "bytes": 0, "connections": 0, "databases": [], "problem": str(error),
            }  # fmt: skip


def _state(engine: Engine) -> Answer:
    version, found, read_only = engine.standing()
    serves = next((entry for entry in found if entry["name"] == engine.name), None)
    return {
        "engine": engine.engine,
        "version": version,
        "up": True,
        "exists": serves is not None,
        "read_only": read_only,
        "bytes": serves["bytes"] or 0 if serves else 0,
        "connections": serves["connections"] if serves else 0,
        "databases": [_told(entry) for entry in found],
    }


def _told(entry: Answer) -> Answer:
    """A database as the monitor knows it: its note is the backup that it holds, once it is whole."""
    note = entry["note"]
    return {
        "name": entry["name"], "bytes": entry["bytes"] or 0, "note": note.get("backup"),
        "created_at": note.get("restored_at"),
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# changing


def change_database(work: Work, args: Args) -> Answer:
    """Restore, exchange, keep writes out, drop."""
    want = args["want"]
    needs = {"restored": ("set", "backup", "into"), "swapped": ("into", "keep"), "swapped-back": ("into", "keep"),
             "dropped": ("into",)}.get(want, ())  # fmt: skip
    for key in needs:
        if key not in args:
            raise Refused("bad-request", f"database: want={want} needs {key!r}")
    with _client(work, args["name"]) as client:
        engine = opened(work, args["name"], client)
        began = time.monotonic()
        try:
            resumed = engine.unfinished()
            if resumed:
                work.begin()
                engine.resume()
            answer = CHANGES_BY_WANT[want](engine, args)
            if resumed and "changed" in answer:
                answer["changed"] = True
        except Down as error:
            raise engine.unless_down(str(error)) from None
        return dict(answer, seconds=time.monotonic() - began)


def _restored(engine: Engine, args: Args) -> Answer:
    into = args["into"]
    if not engine.is_restored(into):
        raise Refused("not-in-policy", f"{into[:100]!r} isn't of the form {engine.name}__YYYYMMDDtHHMMSS")
    there = engine.found(into)
    if there is not None and there["note"].get("backup") == args["backup"]:
        note = there["note"]
        return {
            "into": into,
            "bytes": there["bytes"],
            "tables": note.get("tables"),
            "rows": note.get("rows"),
            "warnings": [],
        }
    if there is not None and "backup" in there["note"]:
        raise Refused("exists", "{} holds {}".format(into, there["note"]["backup"]))
    restore = Restore(engine, into, args["set"], args["backup"])
    try:
        answer = restore.run()
    except Unfit as error:
        raise trouble(engine.work, error.kind, f"{args['backup']}: {error}") from None
    engine.work.afterwards = lambda: _tidy(engine.work, args["name"], into)
    return answer


def _tidy(work: Work, name: str, of: str) -> None:
    """While nobody waits for it; whoever puts the database in place meanwhile ends it like every other session."""
    try:
        with _client(work, name) as client:
            opened(work, name, client).tidy(of)
    except (Refused, Down, Unfit) as error:
        work.places.log(f"{of} is left to its server's own housekeeping: {error}")


def _swapped(engine: Engine, args: Args) -> Answer:
    into, keep = args["into"], args["keep"]
    if not engine.is_restored(into) or not engine.is_kept(keep):
        raise Refused("not-in-policy", f"{into[:100]!r} and {keep[:100]!r} aren't names for a restored and a kept one")
    there = engine.notes()
    if into not in there:
        if there.get(engine.name, {}).get("into") == into:
            return {"changed": False}
        raise Refused("no-database", f"there is no {into} to put in the place of {engine.name}")
    if "backup" not in there[into]:
        raise Refused("half-made", f"{into} isn't whole")
    if keep in there and engine.name in there:
        raise Refused("exists", f"{keep} is there already")
    engine.work.begin()
    engine.exchange([(engine.name, keep), (into, engine.name)])
    return {"changed": True}


def _swapped_back(engine: Engine, args: Args) -> Answer:
    aside, keep = args["into"], args["keep"]
    if not (engine.is_restored(aside) or engine.is_kept(aside)) or not engine.is_kept(keep):
        raise Refused(
            "not-in-policy", f"{aside[:100]!r} and {keep[:100]!r} aren't names for one set aside and a kept one"
        )
    there = engine.notes()
    if keep not in there:
        if engine.name in there and aside in there:
            return {"changed": False}
        raise Refused("no-database", f"there is no {keep} to put back in the place of {engine.name}")
    if aside in there and engine.name in there:
        raise Refused("exists", f"{aside} is there already")
    engine.work.begin()
    engine.exchange([(engine.name, aside), (keep, engine.name)])
    return {"changed": True}


def _read_only(engine: Engine, args: Args) -> Answer:
    engine.work.begin()
    engine.set_read_only(engine.name, args["want"] == "read-only")
    return {"read_only": args["want"] == "read-only"}


def _dropped(engine: Engine, args: Args) -> Answer:
    into = args["into"]
    if not engine.is_restored(into) and not engine.is_kept(into):
        raise Refused("not-in-policy", f"{into[:100]!r} was neither restored nor kept by us; nothing else is dropped")
    engine.work.begin()
    engine.drop(into)
    return {"into": into}


CHANGES_BY_WANT: Dict[str, Callable[[Engine, Args], Answer]] = {
    "restored": _restored,
    "swapped": _swapped,
    "swapped-back": _swapped_back,
    "read-only": _read_only,
    "read-write": _read_only,
    "dropped": _dropped,
}

ASKS = {"database": Verb(ask_database, {"name": text(63)}, {"rows": flag, "of": text(63), "query": text(100)})}
CHANGES = {
    "database": Verb(
        change_database,
        {"name": text(63), "want": among(*CHANGES_BY_WANT)},
        {"backup": text(200), "set": text(100), "into": text(63), "keep": text(63)},
    )
}
SLOW_ASKS = {"database": 600.0}
