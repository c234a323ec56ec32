"""``content_synced``: a server has what the source serves, verified, or the newest verified copy there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import Field, field_validator

from failover.errors import ServerError, StepRefused, StepUnfinished
from failover.model import RunKind, Span, format_span
from failover.recover.difference import Difference, of_content
from failover.recover.outcome import Made, Outcome
from failover.recover.problem import Problem
from failover.recover.scene import On, Scene
from failover.recover.step import ANY_FAILURE, Change, Step, Todo
from failover.recover.work import ASSUMED_SECONDS, Basis, Like, Told, Work

_SAME_LOOK_SECONDS = 5.0
"""Within a run a comparison this old needn't be repeated: a large source takes longer than moving an address."""
_NO_LOOK_SECONDS = 1.0
"""Nor, so shortly after it, does the copy have to be asked what it has: from one step to the next, no longer."""
_PASSES = 3
"""Copies that may find the source changed meanwhile before the step gives up."""
_AGAINST_ACTING = frozenset({"source-suspect", "no-space"})
_SPARE = 1.05
"""Disk that a copy needs, by the content's size: blocks are rounded up."""


class ContentSynced(Step):
    """A role's content lies on a server as the source has it, verified against the source's manifest, switched at once.

    Visitors never see half of a copy (I6). When the source can't be asked, the last verified copy serves and its age is
    said; without any verified copy the step refuses, for an empty site is worse than a wait.
    """

    kind: Literal["content_synced"] = "content_synced"
    source: str = Field(alias="from", description="The role whose holder has the content, as `wcm`.")
    path: str = Field(description="Where the content lies, on both servers.")
    on: On = Field(default="new", description="Which server gets it: `new`, `old`, `holder` or `standby`.")
    keep: int = Field(default=5, ge=2, le=100, description="Releases that are kept, the newest among them.")
    max_loss_percent: float = Field(
        default=20, ge=0, le=100, description="A source that lost more of its files than this is suspect: not copied."
    )
    recent: Span = Field(
        default=0.0, ge=0, description="A copy that was found equal to the source this recently is taken as it is."
    )
    stale: Span = Field(default=3600.0, gt=0, description="With a copy older than this the plan is `ready with loss`.")
    patience: Span = Field(default=5.0, gt=0, description="How long the source may take to say what it has.")
    within: Span = Field(default=1800.0, gt=0, description="How long one copy may take.")

    @field_validator("path")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        if not value.startswith("/") or value == "/" or any(part in ("", ".", "..") for part in value[1:].split("/")):
            raise ValueError(f"{value!r} is not an absolute path without '.', '..' and a slash at its end")
        return value

    @property
    def harmless(self) -> bool:
        """See :class:`Step`. A release is verified before it is switched to, and then at once."""
        return True

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.path} on {scene.on(self.on)} as {self._from(scene)} has it"

    def _from(self, scene: Scene) -> str:
        return scene.roles[self.source].holder

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        target = scene.on(self.on)
        if self._just_seen(scene, target):
            return
        current = self._current(scene, target)
        if self._fresh(scene, target, current) or self._enough_for_now(scene, target):
            return
        if not scene.dry and (trouble := self._gave_up(scene, target)):
            self._serve_last(scene, target, current, trouble)
            return
        try:
            wanted = self._manifest(scene)
        except ServerError as error:
            self._serve_last(scene, target, current, f"{self._from(scene)} can't say what it has ({error.sentence})")
            return
        if current.get("digest") == wanted["digest"] and current.get("intact") is not False:
            scene.copies.checked(target, self.path, wanted["digest"], scene.now())
            return
        outcome = yield self._copy(scene, target, wanted)
        if outcome is None or outcome.result == "unreachable":
            return
        if outcome.ok:
            scene.copies.checked(target, self.path, wanted["digest"], scene.now())
        else:
            self._judge(scene, target, outcome, wanted["digest"])

    def _copy(self, scene: Scene, target: str, wanted: Mapping[str, Any]) -> Change:
        source = self._from(scene)
        args = {
            "path": self.path,
            "want": "synced",
            "source": source,
            "digest": wanted["digest"],
            "files": wanted["files"],
            "bytes": wanted["bytes"],
            "keep": self.keep,
            "max_loss_percent": self.max_loss_percent,
            "switch": True,
        }
        says = f"copy {self.path} from {source} to {target}: {wanted['files']} files, {wanted['bytes']} bytes"
        return Change(target, "content", args, says, within_seconds=self.within, tolerates=ANY_FAILURE)

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`."""
        told = {key: change.args[key] for key in ("source", "digest", "files", "bytes")}
        seconds = outcome.answer.get("seconds")
        verified_at = scene.now().isoformat()
        return "content.copied", {
            "role": scene.role.name, "server": change.server, **told, "seconds": seconds, "verified_at": verified_at
        }  # fmt: skip

    def _judge(self, scene: Scene, target: str, outcome: Outcome, digest: str) -> None:
        """Only what forbids acting is raised; a copy that failed is judged by the next look."""
        if outcome.kind in _AGAINST_ACTING and not scene.forced:
            scene.copies.refused(target, self.path, digest, outcome.sentence)
            raise StepRefused(f"{target} doesn't take {self.path} ({outcome.kind}): {outcome.sentence}")
        if outcome.kind == "stale-token":
            raise StepRefused(f"{target} serves a newer run: {outcome.sentence}")

    def _gave_up(self, scene: Scene, target: str) -> str | None:
        """Why no further copy is tried in this run, or None."""
        tries = self._tries(scene, target)
        if not tries or tries[-1].outcome.result in ("ok", "unreachable"):
            return None
        last = tries[-1].outcome
        if last.result == "unknown" or last.kind in ("changed-during-copy", "past-deadline", "other-boot"):
            return None if len(tries) < _PASSES else f"{len(tries)} copies in a row failed, the last: {last.sentence}"
        return f"the copy failed ({last.kind}): {last.sentence}"

    def _tries(self, scene: Scene, target: str) -> list[Made]:
        """This run's copies; of what its own server writes to, those since that was stopped."""
        since = max((at for at in (scene.opened_at, self._stopped_at(scene)) if at is not None), default=None)
        tries = [made for made in scene.made(target, "content") if made.args["path"] == self.path]
        return [made for made in tries if since is None or made.at >= since]

    def _stopped_at(self, scene: Scene) -> datetime | None:
        """When this run stopped the role's service on the source last: until then it may have written there."""
        if self.source != scene.role.name:
            return None
        stops = [made.at for made in scene.made(self._from(scene), "service") if made.args.get("want") == "stopped"]
        return stops[-1] if stops else None

    def _enough_for_now(self, scene: Scene, target: str) -> bool:
        """A role's own server goes on writing until it is stopped: one copy ahead of that, and the last after it."""
        if not scene.early or self.source != scene.role.name:
            return False
        tries = self._tries(scene, target)
        return bool(tries) and (tries[-1].outcome.ok or len(tries) >= _PASSES)

    def _manifest(self, scene: Scene) -> dict[str, Any]:
        source = self._from(scene)
        patience = scene.patience(source, self.patience if scene.kind is not RunKind.AHEAD else self.within)
        return scene.server(source).ask("manifest", within_seconds=patience, path=self.path)

    def _current(self, scene: Scene, target: str) -> Mapping[str, Any]:
        if self.source != scene.role.name:
            return scene.server(target).ask("content", path=self.path).get("current") or {}
        # Its own role's server wrote into it while it served: what was verified then says nothing about now.
        answer = scene.server(target).ask("content", within_seconds=self.within, path=self.path, verify=True)
        return answer.get("current") or {}

    def _just_seen(self, scene: Scene, target: str) -> bool:
        """Whether this very run found it equal a moment ago, in content that nobody on that server writes to."""
        last = scene.copies.last(target, self.path)
        if last is None or scene.opened_at is None or self.source == scene.role.name:
            return False
        return last.at >= scene.opened_at and scene.within(last.at, _NO_LOOK_SECONDS)

    def _fresh(self, scene: Scene, target: str, current: Mapping[str, Any]) -> bool:
        last = scene.copies.last(target, self.path)
        if last is None or last.digest != current.get("digest") or current.get("intact") is False:
            return False
        in_this_run = scene.opened_at is not None and last.at >= scene.opened_at
        stopped_at = self._stopped_at(scene)
        if stopped_at is not None and last.at <= stopped_at:
            return False
        if in_this_run and scene.within(last.at, _SAME_LOOK_SECONDS):
            return True
        if not (self.recent and scene.kind is RunKind.RECOVER and scene.within(last.at, self.recent)):
            return False
        scene.note(f"{self.path} on {target} was compared with its source less than {format_span(self.recent)} before")
        return True

    def _serve_last(self, scene: Scene, target: str, current: Mapping[str, Any], trouble: str) -> None:
        if not current.get("digest"):
            raise StepRefused(
                f"{target} has no verified copy of {self.path}, and {trouble}: an empty site is never served"
            )
        if scene.kind is RunKind.SWITCH and not scene.forced:
            raise StepRefused(f"{trouble}; a switch doesn't go to a copy that may be older than what is served now")
        if scene.kind is RunKind.AHEAD:
            raise StepUnfinished(f"{self.path} on {target} stays as it is: {trouble}")
        at = _time(current.get("verified_at"))
        age = f"of {at:%Y-%m-%d %H:%M:%S} UTC, {_age(scene, at)} old" if at else "of unknown age"
        scene.note(f"with loss: {trouble}; the last verified copy serves, {age}")

    def work(self, scene: Scene) -> Iterator[Told]:
        """See :class:`Step`. Ahead, only the comparison is left; else the copy, whole or what changed."""
        target, source = scene.on(self.on), self._from(scene)
        current = self._current(scene, target)
        verified, digest = self._verified(scene, target, current), current.get("digest")
        what, said_by = f"{self.path} on {target}", f"content of {target}"
        began = scene.clock()
        try:
            wanted = scene.server(source).ask("manifest", within_seconds=self.within, path=self.path)
        except ServerError:
            yield Work(f"{source} found silent", (), min(1.0, self.patience), self.patience, ahead=True)
            if verified is not None:
                yield Basis(what, verified, verified, said_by)
            return
        equal = wanted["digest"] == digest
        asked = scene.clock() - began
        yield Work(f"{what} compared with {source}", (), most_seconds=self.patience, asked_seconds=asked, ahead=equal)
        if not equal:
            like = (Like("content synced", self.path, target), Like("content synced", self.path))
            size = wanted["bytes"] if digest is None else None
            yield Work(self.title(scene), like, ASSUMED_SECONDS[self.kind], self.within, bytes=size, ahead=False)
        now = scene.now()
        held = now if equal or verified is None else verified
        yield Basis(what, held if source == scene.old else None, held, f"{said_by}, manifest of {source}")

    def differences(self, scene: Scene) -> Iterator[Difference]:
        """See :class:`Step`. Also where the newest was copied ahead meanwhile."""
        yield from of_content(scene, self.path, self._from(scene), scene.on(self.on))

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`. Neither an old copy nor a silent source stops it: the newest verified copy serves."""
        target, source = scene.on(self.on), self._from(scene)
        current, now = self._current(scene, target), scene.now()
        verified = self._verified(scene, target, current)
        if not current.get("digest"):
            yield Problem(f"{target} has no verified copy of {self.path} yet", "stops", target, now)
        elif verified is None or now - verified > timedelta(seconds=self.stale):
            ago = f"{_age(scene, verified)} ago" if verified else "never"
            yield Problem(f"the copy of {self.path} on {target} was last verified {ago}", "loss", target, now)
        disk = _disk(scene.server(target).ask("facts", sections=["disks"])["disks"], self.path)
        if disk and disk["read_only"]:
            yield Problem(f"the disk of {self.path} on {target} is read-only", "stops", target, now)
        if disk and disk["free_inodes"] == 0:
            yield Problem(f"{target} has no free inode for {self.path}", "stops", target, now)
        try:
            wanted = scene.server(source).ask("manifest", within_seconds=self.within, path=self.path)
        except ServerError as error:
            serves = (
                f"the last verified copy would serve, {_age(scene, verified)} old" if verified else "nothing serves"
            )
            yield Problem(f"{source} can't say what it has ({error.sentence}): {serves}", "loss", source, scene.now())
            return
        yield from self._next_copy(scene, target, current, wanted, disk)

    def _next_copy(
        self, scene: Scene, target: str, current: Mapping[str, Any], wanted: Mapping[str, Any],
        disk: Mapping[str, Any] | None,
    ) -> Iterator[Problem]:  # fmt: skip
        """What stands against the copy that a run would make."""
        if wanted["digest"] == current.get("digest"):
            return
        missing = max(0, wanted["bytes"] - int(current.get("bytes") or 0)) * _SPARE
        if disk and disk["free_bytes"] < missing:
            text = f"{target} has {disk['free_bytes']} bytes free for {self.path}; the next copy needs {int(missing)}"
            yield Problem(text, "stops", target, scene.now())
        refusal = scene.copies.refusal(target, self.path)
        if refusal is not None and refusal.digest == wanted["digest"]:
            yield Problem(f"{target} doesn't take {self.path}: {refusal.why}", "stops", target, scene.now())

    def _verified(self, scene: Scene, target: str, current: Mapping[str, Any]) -> datetime | None:
        """When the copy that is there was last known to equal its source."""
        at = _time(current.get("verified_at"))
        checked = scene.copies.last(target, self.path)
        if checked is not None and checked.digest == current.get("digest"):
            return max(at, checked.at) if at else checked.at
        return at


def _time(value: object) -> datetime | None:
    if isinstance(value, str):
        at = datetime.fromisoformat(value)
        return at if at.tzinfo else None
    return datetime.fromtimestamp(value, tz=UTC) if isinstance(value, int | float) else None


def _age(scene: Scene, at: datetime) -> str:
    return format_span(max(0.0, (scene.now() - at).total_seconds()))


def _disk(disks: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """The entry of the longest path that ``path`` lies under."""
    under = [place for place in disks if path == place or path.startswith(place.rstrip("/") + "/")]
    found: Mapping[str, Any] | None = disks[max(under, key=len)] if under else None
    return found
