"""A child process of the tests, in a mount namespace of its own: a disk of 2 MiB gets full while the journal writes."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from failover.errors import JournalUnwritable
from failover.journal import Journal, owner, verify

BALLAST = 256 * 1024


def fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def main(folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    owner._REFILL_SECONDS = 0.1
    path, filler = folder / "journal.db", folder / "filler"
    journal = Journal.open(path, ballast_bytes=BALLAST)
    acknowledged = [journal.append("run.noted", by="daemon", data={"x": "y" * 2000}).hash]
    trouble = journal.trouble
    assert trouble is None

    fill(filler)
    reserved = 0
    for _ in range(2000):
        try:
            event = journal.append("run.noted", by="daemon", data={"x": "y" * 2000})
        except JournalUnwritable as error:
            print("refused:", error)
            break
        acknowledged.append(event.hash)
        reserved += journal.trouble is not None and "in reserve" in journal.trouble
        fill(filler)  # whatever filled the disk takes what is freed
    else:
        raise AssertionError("a disk of 2 MiB never got full")
    assert reserved >= 6, f"the reserve carried {reserved} events"
    assert "0 KiB are left in reserve" in (journal.trouble or ""), journal.trouble
    for _ in range(3):
        with pytest.raises(JournalUnwritable, match="database or disk is full"):
            journal.append("run.noted", by="daemon", data={"x": "y" * 2000})
    assert [event.hash for event in journal.events()] == acknowledged
    assert verify(path, head=journal.head).events == len(acknowledged)

    filler.unlink()
    acknowledged.append(journal.append("run.noted", by="daemon").hash)
    deadline = time.monotonic() + 10
    while journal.trouble and time.monotonic() < deadline:
        time.sleep(0.05)
    assert journal.trouble is None, journal.trouble
    assert path.with_name(path.name + ".ballast").stat().st_size == BALLAST
    journal.close()

    with Journal.open(path, ballast_bytes=BALLAST) as journal:
        assert [event.hash for event in journal.events()] == acknowledged
        assert verify(path, head=journal.head).sound
    print("acknowledged:", len(acknowledged), "on the reserve:", reserved)


if __name__ == "__main__":
    assert os.getpid() != 1
    main(Path(sys.argv[1]))
