"""What is left when the process or the disk dies: real processes, a real full disk, a real failing write."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from failover.errors import JournalUnwritable
from failover.journal import Journal, verify

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def child(script: str, *args: object, prefix: tuple[str, ...] = ()) -> list[str]:
    return [*prefix, sys.executable, "-m", f"tests.journal.{script}", *map(str, args)]


def test_kill_9_in_the_middle_of_appends_loses_nothing_that_was_acknowledged(path: Path) -> None:
    rng = random.Random(20260301)  # noqa: S311 - the kill's moment is no secret
    acknowledged: dict[int, str] = {}
    runs: set[int] = set()
    for epoch in range(1, 9):
        with subprocess.Popen(child("writer", path), stdout=subprocess.PIPE, cwd=ROOT) as writer:
            assert writer.stdout is not None
            lines = []
            for _ in range(rng.randint(1, 60)):
                lines.append(writer.stdout.readline())
            time.sleep(rng.random() / 500)
            writer.kill()
            lines += writer.stdout.read().splitlines(keepends=True)
        for line in lines:
            seq, digest, run = line.decode().split()
            assert int(seq) not in acknowledged, "a number was given twice"
            assert int(run) not in runs, "a run number was given twice"
            acknowledged[int(seq)] = digest
            runs.add(int(run))
        with Journal.open(path, ballast_bytes=0) as journal:
            found = {event.seq: event.hash for event in journal.events()}
            assert journal.epoch == epoch
            assert verify(path, head=journal.head).sound
        assert acknowledged.items() <= found.items()
        assert len(found) - len(acknowledged) <= 2 * epoch, "at most one unacknowledged event a thread and life"
    assert verify(path, head=max(acknowledged.items())).sound


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_survived_on_the_reserve_then_refused_and_forgotten_when_there_is_room(tmp_path: Path) -> None:
    command = child("full_disk", tmp_path, prefix=("unshare", "--mount", "--propagation", "private"))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "acknowledged:" in done.stdout


def test_after_a_failed_write_nothing_more_is_written_until_it_is_opened_again(path: Path) -> None:
    done = subprocess.run(
        child("failing_disk", path), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_disk_that_never_answers_keeps_nobody_waiting_for_ever(path: Path) -> None:
    journal = Journal.open(path, ballast_bytes=0, patience_seconds=0.3)
    stuck, free = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        stuck.set()
        free.wait(20)

    def ask() -> None:
        with pytest.raises(JournalUnwritable):
            journal._owner.write(hang)

    threading.Thread(target=ask).start()
    assert stuck.wait(5)
    with pytest.raises(JournalUnwritable, match=r"no answer from the disk within 0\.3 s"):
        journal.append("run.noted", by="daemon")
    time.sleep(0.2)
    free.set()
    with pytest.raises(JournalUnwritable, match=r"hasn't confirmed a write for 0\.3 s"):
        journal.append("run.noted", by="daemon")
    journal.close()
    with Journal.open(path, ballast_bytes=0) as journal:
        assert journal.events() == [], "what was given up isn't written later"
