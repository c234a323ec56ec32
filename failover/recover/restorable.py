"""Whether a good backup of a database could be restored on a server now: asked in daylight, without any effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from failover.model import RunKind, format_span
from failover.recover.catalogue import find, look_at, pick
from failover.recover.databases import Database
from failover.recover.problem import Problem
from failover.recover.scene import Scene


def problems(scene: Scene, database: Database, names: Sequence[str], max_loss: float) -> Iterator[Problem]:
    """What stands against it, or would be lost; may raise ``ServerError``."""
    new, now = scene.new, scene.now()
    there = look_at(scene, new, database)
    if not there.up:
        starts = scene.role.unit is not None and scene.kind is not RunKind.RECOVER
        yield Problem(f"no database server runs on {new}", "hint" if starts else "stops", new, now)
        return
    found = find(scene, names, new)
    for error in found.silent:
        yield Problem(f"its backups can't be listed: {error}", "hint", error.server, now)
    choice = pick(scene, new, names, found, there, {})
    if choice.best is None:
        reasons = "; ".join(str(passed) for passed in choice.passed_over) or "there is none"
        yield Problem(f"no backup of {database.name} can be restored on {new}: {reasons}", "stops", None, now)
        return
    for passed in choice.passed_over:
        yield Problem(f"not the newest backup would be restored: {passed}", "loss", passed.server, now)
    age = (now - choice.best.taken_at).total_seconds()
    if age > max_loss:
        yield Problem(
            f"the newest good backup of {database.name}, {choice.best.id}, is {format_span(age)} old: above "
            f"{format_span(max_loss)} the run waits for a person's yes",
            "loss",
            choice.best.server,
            now,
        )
