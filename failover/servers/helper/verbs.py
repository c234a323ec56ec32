"""Every verb that the helper knows, one file each.

A file of a verb has ``ASKS`` and ``CHANGES``, and ``SLOW_ASKS`` where an ask takes longer than usual; a new verb is
that file and its name in ``MODULES``. All are read at the start: the program on the disk may be another a moment later.
"""

from typing import Any, List

from . import address, backups, command, connect, content, core, database, facts, fitness, manifests, see, services

MODULES: List[Any] = [address, backups, command, connect, content, database, facts, fitness, manifests, see, services]


def add_all() -> None:
    """Put the verbs of all files into the tables of ``core``. Doing it again changes nothing.

    Raises:
        ValueError: two files have the same verb.
    """
    for name in ("ASKS", "CHANGES", "SLOW_ASKS"):
        known = getattr(core, name)
        for module in MODULES:
            for verb, entry in getattr(module, name, {}).items():
                if known.setdefault(verb, entry) is not entry:
                    raise ValueError(f"{module.__name__}: another file has the verb {verb!r} too")
