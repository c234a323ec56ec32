"""A child process of the tests: the kernel refuses a write in mid-commit (RLIMIT_FSIZE), and then works again."""

import resource
import sys
from pathlib import Path

import pytest

from failover.errors import JournalUnwritable
from failover.journal import Journal, verify


def main(path: Path) -> None:
    journal = Journal.open(path, ballast_bytes=0)
    acknowledged = [journal.append("run.noted", by="daemon", data={"x": "y" * 2000}).hash for _ in range(3)]
    log = path.with_name(path.name + "-wal")
    # Python ignores SIGXFSZ, so the write fails with EFBIG, half of it done: to SQLite an I/O error like EIO.
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 6000, resource.RLIM_INFINITY))
    with pytest.raises(JournalUnwritable, match="SQLITE_IOERR"):
        journal.append("change.intended", by="daemon", data={"x": "y" * 20000})
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    for ask in (lambda: journal.append("run.noted", by="daemon"), journal.next_run, journal.begin_epoch):
        with pytest.raises(JournalUnwritable, match="nothing more is written until failover is started again"):
            ask()
    assert "disk reported an error" in (journal.trouble or "")
    assert [event.hash for event in journal.events()] == acknowledged, "what was acknowledged can still be read"
    journal.close()

    with Journal.open(path, ballast_bytes=0) as journal:
        assert [event.hash for event in journal.events()] == acknowledged
        acknowledged.append(journal.append("run.noted", by="daemon").hash)
        assert verify(path, head=(len(acknowledged), acknowledged[-1])).sound


if __name__ == "__main__":
    main(Path(sys.argv[1]))
