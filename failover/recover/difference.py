"""What changed since a role left the server that it goes back to: shown before anything moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from failover.errors import ServerError
from failover.recover.databases import Database
from failover.recover.rows import counted, differences, tell
from failover.recover.scene import Scene

NOTHING = "nothing changed"
COMPARE_SECONDS = 120.0
"""For comparing content, file by file: a large source is read for the first time then."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How what serves now differs from what lies on the server that the role goes to."""

    what: str
    """What was compared, as ``/srv/site``."""
    says: str
    """How it differs, as ``1 file added, 2 changed, 0 removed: 4096 bytes``."""
    counts: Mapping[str, int] | None
    """The same in numbers; None where it couldn't be asked, and ``says`` has the reason."""

    def __str__(self) -> str:
        return f"{self.what}: {self.says}"

    @property
    def nothing(self) -> bool:
        """Whether it is certain that nothing changed."""
        return self.counts is not None and not any(self.counts.values())


def asked(what: str, ask: Callable[[], Difference]) -> Difference:
    """What came of the question, or the reason why nobody knows."""
    try:
        return ask()
    except ServerError as error:
        return Difference(what, f"can't be told: {error}", None)


def of_content(scene: Scene, path: str, source: str, target: str) -> Iterator[Difference]:
    """Which files its source has besides and otherwise than lay there when the role left; copied ahead or not."""
    if source == target or scene.left_at is None:
        return
    since = scene.left_at.timestamp()

    def ask() -> Difference:
        patience = scene.patience(source, COMPARE_SECONDS)
        wanted = scene.server(source).ask("manifest", within_seconds=patience, path=path)
        args = {"path": path, "source": source, "digest": wanted["digest"], "files": wanted["files"], "since": since}
        return _files(path, scene.server(target).ask("content", within_seconds=COMPARE_SECONDS, **args))

    yield asked(path, ask)


def _files(what: str, answer: Mapping[str, int]) -> Difference:
    added, changed, removed, size = (int(answer[key]) for key in ("added", "changed", "removed", "bytes"))
    counts = {"added": added, "changed": changed, "removed": removed, "bytes": size}
    files = f"{added} file{'' if added == 1 else 's'} added, {changed} changed, {removed} removed: {size} bytes"
    return Difference(what, files if added or changed or removed else NOTHING, counts)


def of_database(scene: Scene, database: Database) -> Iterator[Difference]:
    """How many rows more each table has where it serves now, than where the role goes to.

    Where a backup that lacked something was put in place, that says too little: the rows that were written since are
    told by themselves then, and so are those that only the other server has.
    """
    name, old, new = database.name, scene.old, scene.new
    now = _Counts(scene, old, database)
    against = f"{name} on {old} against {new}"
    direct = asked(against, lambda: _rows(against, differences(_Counts(scene, new, database)(), now())))
    swap = scene.swap(scene.role.name)
    yield direct
    if swap is None or swap.server != old or swap.tables is None:
        return
    what = f"{name} on {old} since {swap.backup} was put in place there"
    put = swap.tables
    written = asked(what, lambda: _rows(what, differences(put, now())))
    if written.counts == direct.counts:
        return
    yield written
    if written.counts is not None and direct.counts is not None:
        only = differences(direct.counts, written.counts)
        yield _rows(f"{name} on {new} besides, which stays there", only)


def _rows(what: str, more: Mapping[str, int]) -> Difference:
    return Difference(what, tell(more) if more else NOTHING, dict(more))


class _Counts:
    """The rows of one server, asked once."""

    def __init__(self, scene: Scene, server: str, database: Database) -> None:
        self._scene, self._server, self._database = scene, server, database
        self._found: dict[str, int] | None = None

    def __call__(self) -> dict[str, int]:
        if self._found is None:
            self._found = counted(self._scene, self._server, self._database)
        return self._found
