"""``backup_verified`` and ``backup_restored``: a backup is proven good, by reading it, or by restoring it aside."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from failover.backups import Backup
from failover.errors import StepRefused
from failover.model import Span
from failover.recover.databases import moment_of, shadow_name
from failover.recover.outcome import Outcome
from failover.recover.scene import Scene
from failover.recover.shelves import shelf_of, the_set
from failover.recover.step import Change, Step, Todo
from failover.recover.steps.backup_made import backup_news

NOTE_SECONDS = 15.0


class _OfOneBackup(Step):
    set: str = Field(description="The set, by its name under `backups`.")
    id: str = Field(description="The backup.")
    server: str = Field(description="The server on which it lies.")
    within: Span = Field(default=6 * 3600.0, gt=0, description="How long it may take.")

    @property
    def harmless(self) -> bool:
        """See :class:`Step`."""
        return True

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`."""
        return backup_news(change, outcome) if change.verb == "backups" else None

    def _backup(self, scene: Scene) -> Backup:
        the_set(scene, self.set)
        found = next((one for one in shelf_of(scene, self.set, self.server).backups if one.id == self.id), None)
        if found is None:
            raise StepRefused(f"there is no backup {self.id} on {self.server}")
        return found

    def _note(self, says: str, **what: str) -> Change:
        args = {"set": self.set, "want": "noted", "id": self.id, **what}
        return Change(self.server, "backups", args, says, within_seconds=NOTE_SECONDS)


class BackupVerified(_OfOneBackup):
    """A backup is read to its end on its server, and what that came to stands in its catalogue."""

    kind: Literal["backup_verified"] = "backup_verified"

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.id} on {self.server} read to its end"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        note = self._note(
            f"write down whether {self.id} on {self.server} is sound", verified_at=scene.now().isoformat()
        )
        if scene.dry:
            yield note
            return
        if any(made.args.get("id") == self.id and made.outcome.ok for made in scene.made(self.server, "backups")):
            return
        self._backup(scene)
        found = scene.server(self.server).ask(
            "backups", within_seconds=self.within, set=self.set, id=self.id, verify=True
        )  # fmt: skip
        if not found["sound"]:
            scene.note(f"{self.id} on {self.server} is no good: {found['why']}")
        yield note


class BackupRestored(_OfOneBackup):
    """A backup is restored beside what serves, under a name of its own, and compared with its catalogue there."""

    kind: Literal["backup_restored"] = "backup_restored"
    into: str = Field(description="For files a folder's name; for a database a name as `wcm__20261124t031500`.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.id} restored on {self.server} as {self.into}"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        backup = self._backup(scene)
        made = [one for verb in ("backups", "database") for one in scene.made(self.server, verb)]
        if not any(one.args.get("into") == self.into and one.outcome.ok for one in made):
            yield self._restore(scene, backup)
            if scene.dry:
                return
        if not any("restored_at" in one.args and one.outcome.ok for one in made):
            yield self._note(f"write down that {self.id} was restored", restored_at=scene.now().isoformat())

    def _restore(self, scene: Scene, backup: Backup) -> Change:
        says = f"restore {self.id} on {self.server} as {self.into}"
        if backup.format == "tar.gz":
            args = {"set": self.set, "want": "unpacked", "id": self.id, "into": self.into}
            return Change(self.server, "backups", args, says, within_seconds=self.within)
        role = scene.roles[the_set(scene, self.set).role]
        if role.database is None:
            raise StepRefused(f"the role {role.name} has no 'database' in the config")
        if moment_of(role.database.name, self.into) is None:
            example = shadow_name(role.database.name, scene.now())
            raise StepRefused(f"{self.into!r} is no name for a database restored aside; one is {example}")
        args = {
            "name": role.database.name, "want": "restored", "set": self.set, "backup": self.id, "into": self.into,
        }  # fmt: skip
        return Change(self.server, "database", args, says, within_seconds=self.within)
