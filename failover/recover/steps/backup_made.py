"""``backup_made``: a set has a good backup from after a moment, on both of its servers, and no more than it has to."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field

from failover.backups import Backup, FilesSet, MadeSet, retention
from failover.backups.backup import made_at, new_id
from failover.backups.catalogue import Shelf
from failover.errors import ServerError, StepUnfinished
from failover.recover.outcome import Outcome
from failover.recover.scene import Scene
from failover.recover.shelves import shelf_of, the_made_set
from failover.recover.step import ANY_FAILURE, Change, Step, Todo

PRUNE_SECONDS = 60.0
MANIFEST_SECONDS = 600.0


class BackupMade(Step):
    """A backup of the set is made, read to its end, copied to the second server; then old ones may go.

    A server that can't be reached keeps the backup from being copied there, not from being made; the next try copies.
    """

    kind: Literal["backup_made"] = "backup_made"
    set: str = Field(description="The set, by its name under `backups`.")
    since: AwareDatetime = Field(description="A backup that is no older than this is fresh enough.")
    timezone: str = Field(default="UTC", description="Where a day of the retention begins at midnight.")

    @property
    def harmless(self) -> bool:
        """See :class:`Step`."""
        return True

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"a backup of {self.set} since {self.since:%Y-%m-%d %H:%M} UTC"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        settings = the_made_set(scene, self.set)
        shelf = shelf_of(scene, self.set, settings.on)
        fresh = newest_since(shelf, self.since)
        if fresh is None:
            yield self._make(scene, settings)
            return
        left: list[str] = []
        for server in settings.servers:
            try:
                if server != settings.on and not any(
                    one.id == fresh.id for one in shelf_of(scene, self.set, server).good
                ):
                    outcome = yield self._copy(scene, settings, fresh, server)
                    if outcome is None or not outcome.ok:
                        left.append(f"{server} has no copy: {outcome.sentence if outcome else 'not tried'}")
                        continue
                yield from self._prune(scene, settings, server)
            except ServerError as error:
                if server == settings.on:
                    raise
                left.append(f"{error}")
        if left and not scene.dry:
            raise StepUnfinished(f"{fresh.id} is made, and {'; '.join(left)}")

    def _make(self, scene: Scene, settings: MadeSet) -> Change:
        tries = [made for made in scene.made(settings.on, "backups") if made.args.get("want") == "made"]
        if tries and tries[-1].outcome.result in ("failed", "refused"):
            raise StepUnfinished(f"no backup of {self.set} could be made: {tries[-1].outcome.sentence}")
        source = scene.roles[settings.role].holder
        backup = new_id(self.set, scene.now())
        args: dict[str, Any] = {"set": self.set, "want": "made", "id": backup, "source": source}
        if isinstance(settings, FilesSet) and not scene.dry:
            args["trees"] = [_tree(scene, source, path) for path in settings.paths]
        says = f"make the backup {backup} on {settings.on} from {source}"
        return Change(settings.on, "backups", args, says, within_seconds=settings.within, tolerates=ANY_FAILURE)

    def _copy(self, scene: Scene, settings: MadeSet, backup: Backup, server: str) -> Change:
        tries = [made for made in scene.made(server, "backups") if made.args.get("want") == "copied"]
        if tries and not tries[-1].outcome.ok:
            raise StepUnfinished(f"{backup.id} couldn't be copied to {server}: {tries[-1].outcome.sentence}")
        args = {"set": self.set, "want": "copied", "id": backup.id, "source": settings.on}
        says = f"copy {backup.id} from {settings.on} to {server}: {backup.bytes} bytes"
        return Change(server, "backups", args, says, within_seconds=settings.within, tolerates=ANY_FAILURE)

    def _prune(self, scene: Scene, settings: MadeSet, server: str) -> Todo:
        frozen = scene.frozen()
        shelf = shelf_of(scene, self.set, server)
        found = retention(shelf.backups, settings.keep, scene.now(), ZoneInfo(self.timezone), frozen)
        if found.drop:
            args = {"set": self.set, "want": "pruned", "ids": list(found.drop[:200])}
            says = f"remove {len(found.drop)} old backups of {self.set} from {server}: {', '.join(found.drop[:3])}"
            outcome = yield Change(server, "backups", args, says, within_seconds=PRUNE_SECONDS, tolerates=ANY_FAILURE)
            if outcome is not None and not outcome.ok:
                raise StepUnfinished(f"old backups of {self.set} on {server} can't be removed: {outcome.sentence}")
        elif frozen is not None:
            scene.note(f"no old backup is removed: {frozen}")

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`."""
        return backup_news(change, outcome)


def newest_since(shelf: Shelf, since: datetime) -> Backup | None:
    """The newest backup of ours that was begun no earlier than that, and isn't known to be bad.

    By the time in its id, which is the monitor's as ``since`` is: the server's clock may be another one.
    """
    there = (one for one in shelf.backups if one.made_by == "failover" and one.problem is None)
    return next((one for one in there if (made_at(one.id) or one.taken_at) >= since.replace(microsecond=0)), None)


def backup_news(change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
    """The event that tells others what a change of the verb ``backups`` brought about."""
    about = {"set": change.args["set"], "server": change.server}
    answer = outcome.answer
    match change.args["want"]:
        case "made" | "copied" as want:
            told = {**about, "id": change.args["id"], "bytes": answer.get("bytes"), "seconds": answer.get("seconds")}
            if want == "copied":
                return "backup.copied", {**told, "source": change.args["source"]}
            problem = answer.get("store_problem")
            return "backup.made", {**told, **({"problem": f"it isn't in the store: {problem}"} if problem else {})}
        case "pruned":
            return "backup.pruned", {**about, "ids": list(answer.get("pruned") or change.args["ids"])}
        case "noted" if "verified_at" in change.args:
            why = answer.get("problem")
            return "backup.verified", {**about, "id": change.args["id"], "sound": why is None, "why": why or ""}
        case "noted" if "restored_at" in change.args:
            return "backup.restored", {**about, "id": change.args["id"], "at": change.args["restored_at"]}
    return None


def _tree(scene: Scene, source: str, path: str) -> dict[str, Any]:
    """What the source has at a path, as the archive is proven by."""
    found = scene.server(source).ask("manifest", within_seconds=MANIFEST_SECONDS, path=path)
    return {"path": path, **{key: found[key] for key in ("digest", "files", "bytes")}}
