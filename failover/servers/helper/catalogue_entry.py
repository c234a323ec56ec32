"""What the catalogue says of one backup: its keys, its id, and whether what another server says of one can be used."""

import json
import re
from typing import Any, List

from .core import Answer, Refused

KEYS = (
    "id set kind engine server_version tool_version format path bytes sha256 taken_at finished_at tables verified_at"
    " restored_at problem made_by store trees"
).split()
ID = r"-\d{8}T\d{6}Z(\.[0-9a-f]{6})?\Z"
MOST_CATALOGUE_BYTES = 1 << 19


def check_id(name: str, backup: str) -> str:
    """The id, if it is one of the set of that name."""
    if not backup.startswith(name) or not re.match(ID, backup[len(name) :]):
        raise Refused("bad-request", f"{backup[:100]!r} is no id of a backup of {name}")
    return backup


def understood(found: Any, name: str) -> Answer:
    """An entry of the catalogue of the set of that name, checked: one may come from another server.

    Raises:
        ValueError: it isn't that.
    """
    if not isinstance(found, dict) or set(found) - set(KEYS):
        raise ValueError("it is no entry of a catalogue")
    entry: Answer = dict(dict.fromkeys(KEYS), **found)
    texts = [entry[key] for key in ("id", "set", "kind", "path", "taken_at", "made_by")]
    if not all(isinstance(text, str) and text.isprintable() for text in texts) or entry["set"] != name:
        raise ValueError("it is of no backup of this set")
    if not isinstance(entry["bytes"], int) or entry["bytes"] < 0:
        raise ValueError("it has no size")
    if entry["sha256"] is not None and not re.match(r"[0-9a-f]{64}\Z", str(entry["sha256"])):
        raise ValueError("its checksum is none")
    try:
        check_id(name, entry["id"])
    except Refused as error:
        raise ValueError(str(error)) from None
    return entry


def without_tables(entries: List[Answer], budget: int) -> List[Answer]:
    """The entries for one line: row counts only as long as they fit, newest first, and nothing of our own."""
    told = []
    for entry in entries:
        entry = {key: value for key, value in entry.items() if key != "trees"}
        size = len(json.dumps(entry.get("tables")))
        budget -= size
        told.append(entry if budget > 0 else dict(entry, tables=None))
    return told
