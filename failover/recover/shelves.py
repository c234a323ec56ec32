"""What the steps of backups share: a set's settings, and what a server has of it."""

from __future__ import annotations

from failover.backups import BackupSet, MadeSet
from failover.backups.catalogue import Shelf, read_shelf
from failover.errors import StepRefused
from failover.recover.scene import Scene

LIST_SECONDS = 30.0
"""For a server to say what it has: a folder of another tool may hold thousands of files."""


def the_set(scene: Scene, name: str) -> BackupSet:
    """The settings of a set.

    Raises:
        StepRefused: the config doesn't have it any more.
    """
    if name not in scene.backups:
        raise StepRefused(f"there is no backup set {name!r}; there is {', '.join(scene.backups) or 'none'}")
    return scene.backups[name]


def the_made_set(scene: Scene, name: str) -> MadeSet:
    """The settings of a set whose backups failover makes.

    Raises:
        StepRefused: other tools make them, or there is no such set.
    """
    found = the_set(scene, name)
    if not isinstance(found, MadeSet):
        raise StepRefused(f"other tools make the backups of {name}: here they are only read")
    return found


def shelf_of(scene: Scene, name: str, server: str) -> Shelf:
    """What a server has of the set now; raises ``ServerError``."""
    answer = scene.server(server).ask("backups", within_seconds=scene.patience(server, LIST_SECONDS), set=name)
    return read_shelf(name, server, answer, scene.now())
