"""What a policy on a server lacks of what the config wants now: a policy may be another one and still be enough."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from failover.servers.policy import Policy

_KINDS = {
    "addresses": "address",
    "units": "unit",
    "paths": "path",
    "sources": "source",
    "commands": "command",
    "databases": "database",
    "backups": "backup set",
    "services": "service",
    "connect": "file",
}
"""What a plan may need. What a server may look at and serve (``see``, ``serve``) it can do without."""
_NAMES = ("name", "set", "file", "path", "unit")


def lacking(wanted: Policy, there: Mapping[str, Any]) -> tuple[str, ...]:
    """Everything that the config wants to be allowed and the policy that is there doesn't allow so: ``unit nginx``."""
    ours = json.loads(wanted.text())
    if ours["server"] != there.get("server"):
        return (f"anything: it is the policy of {there.get('server') or 'nobody'}",)
    return tuple(_lacking(ours, there))


def _lacking(ours: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    for key, kind in _KINDS.items():
        wanted, known = ours.get(key) or (), there.get(key) or ()
        if isinstance(wanted, Mapping):
            allowed = known if isinstance(known, Mapping) else {}
            yield from (f"{kind} {name}" for name, value in wanted.items() if allowed.get(name) != value)
            continue
        same = [_plain(entry) for entry in known]
        yield from (f"{kind} {_name(entry)}" for entry in wanted if _plain(entry) not in same)


def _plain(entry: Any) -> Any:
    """A unit is the same with its suffix and without, for the helper too."""
    return entry.removesuffix(".service") if isinstance(entry, str) else entry


def _name(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return next((str(entry[key]) for key in _NAMES if key in entry), str(dict(entry)))
    return str(entry)
