"""When a restore is stopped for want of room: a step before the reserve is touched, and for nothing else's growth."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from failover.servers.helper.unfit import RESERVE_BYTES, STEP_SECONDS, Disk, Unfit

MIB = 1 << 20


class Filling(Disk):
    """A disk of which a test says what is free, and when it is looked at."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        super().__init__([str(folder)])

    def free(self, folder: str) -> int:  # type: ignore[override] # of this disk only
        assert folder in self.folders
        return self.left

    def looked_at(self, free: int, after: float = 0.02) -> bool:
        """Whether the restore may go on with so many bytes free, so many seconds later."""
        self.left, self.now = free, self.now + after
        try:
            self.look()
        except Unfit:
            return False
        return True


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Filling:
    return Filling(tmp_path, monkeypatch)


def test_it_goes_on_while_the_next_step_leaves_the_reserve_whole(disk: Filling) -> None:
    assert disk.looked_at(RESERVE_BYTES + 90 * MIB)
    assert disk.looked_at(RESERVE_BYTES + 60 * MIB)
    assert disk.looked_at(RESERVE_BYTES + 30 * MIB), "another 30 MiB fit just so"
    assert not disk.looked_at(RESERVE_BYTES + 10 * MIB), "another 20 MiB don't"


def test_the_reserve_itself_is_never_touched(disk: Filling) -> None:
    assert disk.looked_at(RESERVE_BYTES)
    assert not disk.looked_at(RESERVE_BYTES - 1)


def test_what_grew_before_it_was_looked_at_again_is_no_step_of_this_restore(disk: Filling) -> None:
    assert disk.looked_at(RESERVE_BYTES + 5000 * MIB)
    assert disk.looked_at(RESERVE_BYTES + 100 * MIB, after=STEP_SECONDS + 1), "a copy was unpacked meanwhile"
    assert disk.looked_at(RESERVE_BYTES + 100 * MIB)


def test_room_that_others_make_is_no_step_either(disk: Filling) -> None:
    assert disk.looked_at(RESERVE_BYTES + 10 * MIB)
    assert disk.looked_at(RESERVE_BYTES + 500 * MIB)
    assert disk.looked_at(RESERVE_BYTES + 490 * MIB)
