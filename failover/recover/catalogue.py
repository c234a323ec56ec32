"""What backups there are of a database, asked of the servers that keep them, and which is to be restored (I8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from failover.backups import Backup, BackupSet, PassedOver, Target, choose
from failover.backups.catalogue import read_shelf
from failover.errors import ServerError
from failover.model import RunKind
from failover.recover.databases import Database, Seen, Shadow, moment_of, seen
from failover.recover.outcome import Outcome
from failover.recover.scene import Scene

PATIENCE_SECONDS = 5.0
"""For a server to list its backups, or to say what it has of a database."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the servers said that they have."""

    backups: tuple[Backup, ...]
    """One for each place that a backup lies in."""
    silent: tuple[ServerError, ...] = ()
    """Those that couldn't be asked."""

    def on(self, server: str, backup: str) -> Backup | None:
        """The copy of a backup that lies on a server, if it is good."""
        there = (one for one in self.backups if (one.server, one.id) == (server, backup))
        return next((one for one in there if one.good), None)

    def tables(self, backup: str) -> Mapping[str, int] | None:
        """Rows by table in a backup, where that is known."""
        return next((one.tables for one in self.backups if one.id == backup and one.tables is not None), None)


@dataclass(frozen=True, slots=True)
class Pick:
    """The backup to use on a server."""

    best: Backup | None
    passed_over: tuple[PassedOver, ...] = ()
    """Every newer one, and why it isn't that."""


def look_at(scene: Scene, server: str, database: Database, within_seconds: float = PATIENCE_SECONDS) -> Seen:
    """What a server has of the database; raises ``ServerError``."""
    patience = scene.patience(server, within_seconds)
    return seen(database.name, scene.server(server).ask("database", within_seconds=patience, name=database.name))


def sets_of(scene: Scene, names: Sequence[str]) -> dict[str, BackupSet]:
    """The settings of the sets of these names.

    Raises:
        KeyError: the config has no such set.
    """
    return {name: scene.backups[name] for name in names}


def find(scene: Scene, names: Sequence[str], *also: str) -> Found:
    """Ask everywhere that the sets have a place, and the servers in ``also``, to which backups are brought at need."""
    backups: list[Backup] = []
    silent: list[ServerError] = []
    for name, settings in sets_of(scene, names).items():
        for server in dict.fromkeys((*settings.servers, *also)):
            try:
                patience = scene.patience(server, PATIENCE_SECONDS)
                answer = scene.server(server).ask("backups", within_seconds=patience, set=name)
            except ServerError as error:
                if server in settings.servers:
                    silent.append(error)
                continue
            backups += read_shelf(name, server, answer, scene.now()).backups
    return Found(tuple(backups), tuple(silent))


def pick(scene: Scene, server: str, names: Sequence[str], found: Found, now: Seen, against: Mapping[str, str]) -> Pick:
    """The newest backup that the server can use, those last that it couldn't restore before; never one in ``against``.

    A finished shadow counts as the backup that it was made from, also where that one's place can't be asked any more.
    """
    database = scene.role.database
    assert database is not None  # noqa: S101 - the step asked for it
    before = scene.begun_at if scene.kind is RunKind.RECOVER else None
    target = Target(engine=database.engine, version=now.version or None, before=before)
    sets, tried = sets_of(scene, names), {**failed_in_this_run(scene, server), **against}
    told = [_marked(one, tried.get(one.id) or scene.restores.refusal(server, one.id)) for one in found.backups]
    choice = choose(told, sets, target, scene.now())
    if choice.best is None and any(scene.restores.refusal(server, one.id) for one in found.backups):
        told = [_marked(one, tried.get(one.id)) for one in found.backups]  # what failed last week may work tonight
        choice = choose(told, sets, target, scene.now())
    best = choice.best
    known = {one.id for one in found.backups}
    for shadow in now.shadows:
        moment = moment_of(database.name, shadow.into)
        if shadow.backup is None or shadow.backup in known or moment is None or (before and moment >= before):
            continue
        if best is None or moment > best.taken_at:
            return Pick(_of_shadow(shadow, shadow.backup, server, moment), choice.passed_over)
    return Pick(best, choice.passed_over)


def failed_in_this_run(scene: Scene, server: str) -> dict[str, str]:
    """By backup, why this run couldn't restore it there. One that was brought anew since is another file."""
    failed: dict[str, str] = {}
    unknown: dict[str, int] = {}
    both = [*scene.made(server, "database"), *scene.made(server, "backups")]
    for made in sorted(both, key=lambda made: made.number):
        outcome, want = made.outcome, made.args.get("want")
        backup = str(made.args.get("backup") or made.args.get("id"))
        if want not in ("restored", "copied"):
            continue
        if outcome.ok:
            failed.pop(backup, None)
        elif want == "copied" and outcome.result in ("failed", "refused"):
            failed[backup] = f"it couldn't be brought to {server} ({outcome.kind}): {outcome.sentence}"
        elif want == "restored" and _cut_off(outcome):
            unknown[backup] = unknown.get(backup, 0) + 1
            if unknown[backup] >= _MOST_UNKNOWN:
                failed[backup] = f"restoring it was begun {unknown[backup]} times and never came to an end"
        elif want == "restored" and outcome.result in ("failed", "refused") and outcome.kind not in NOT_ITS_FAULT:
            failed[backup] = f"it couldn't be restored on {server} ({outcome.kind}): {outcome.sentence}"
    return failed


def _cut_off(outcome: Outcome) -> bool:
    """Whether a restore was begun and nothing says how it ended."""
    gone = outcome.kind == "killed" or (outcome.result, outcome.kind) == ("failed", "database-down")
    return outcome.result == "unknown" or gone


SERVER_LACKS = frozenset({"no-account", "no-right", "no-password", "no-user"})
"""What a restore can fail of on this server, whichever backup it is: somebody has to see to the server first."""
NOT_ITS_FAULT = SERVER_LACKS | {
    "no-space", "past-deadline", "other-boot", "busy", "stale-token", "superseded", "killed", "database-down"
}  # fmt: skip
"""What a restore can fail of that says nothing of the backup."""
_MOST_UNKNOWN = 3
"""Once may be the line, twice a crash of the monitor; a third time the backup itself may bring the server down."""


def _marked(backup: Backup, problem: str | None) -> Backup:
    return backup if problem is None or backup.problem is not None else replace(backup, problem=problem)


def _of_shadow(shadow: Shadow, backup: str, server: str, moment: datetime) -> Backup:
    return Backup(
        id=backup,
        set=backup.rpartition("-")[0],
        server=server,
        kind="database",
        format=None,
        bytes=shadow.bytes,
        taken_at=moment,
        verified_at=moment,
    )
