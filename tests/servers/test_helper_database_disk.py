"""A restore that grows beyond its disk, on a real PostgreSQL: it ends while the server can still work."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from failover.servers.helper.unfit import RESERVE_BYTES
from tests.servers.databases import PostgreSQL, day, folder, postgresql
from tests.servers.helper_fixtures import need_root, small_disk

INTO = "wcm__20261124t020000"
TABLES = 4
CONTENT = "SELECT g AS id, repeat(md5(g::text), 30) AS text FROM generate_series(1, 60000) g"
"""Of each: about 60 MB, and as much again of write-ahead log, of which a dump is a twentieth."""
FREE_BYTES = 250 << 20
"""When the restore begins: about half of what it would take."""


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    """One whose data have a small disk of their own, which its write-ahead log shares, as it does by default."""
    need_root()
    with folder() as disk, small_disk(disk, "size=4g,mode=755"), postgresql(disk, max_wal_size="1GB") as server:
        yield server


def used(disk_of: Path) -> int:
    """Bytes of a disk."""
    disk = os.statvfs(disk_of)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def free(disk_of: Path) -> int:
    """Bytes of a disk."""
    disk = os.statvfs(disk_of)
    return disk.f_bavail * disk.f_frsize


class Lowest:
    """The least that was free on a disk, in bytes, while it is looked at; in a ``with`` block."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.free = folder, free(folder)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            self.free = min(self.free, free(self.folder))

    def __enter__(self) -> Lowest:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize("form", ["custom", "plain.gz"])
def test_a_restore_stops_before_the_server_has_no_room_for_its_own_log(server: PostgreSQL, form: str) -> None:
    names = [f"filler{number}" for number in range(TABLES)]
    for name in names:
        server.sql(f"CREATE TABLE {name} AS {CONTENT}")
    backup = server.dump(day(24), form)
    for name in names:
        server.sql(f"DROP TABLE {name}")
    server.sql("CHECKPOINT", "postgres", "postgres")
    size = used(server.data) + FREE_BYTES
    disk = str(server.data.parent.parent)
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True, timeout=10)
    with Lowest(server.data) as lowest:
        reply = server.change("restored", 60, backup=backup, set="wcm-db", into=INTO)
    assert "error" in reply, reply
    assert reply["error"]["kind"] == "no-space", reply
    assert server.answers(), "a full disk for its log would have ended it"
    assert server.databases() == {"postgres", "wcm"}, "nothing of it is left behind"
    assert lowest.free > RESERVE_BYTES // 2, f"only {lowest.free >> 20} MiB were left"
