"""A child process of the tests: writes to a journal as fast as it can, and says what was acknowledged."""

import os
import sys
import threading

from failover.journal import Journal


def main(path: str) -> None:
    journal = Journal.open(path, ballast_bytes=0)
    epoch = journal.begin_epoch()

    def write(name: str) -> None:
        while True:
            event = journal.append(
                "change.intended", run=journal.next_run(), by=name, data={"epoch": epoch, "x": "y" * 500}
            )
            # One write(2) a line, so that a kill can't cut one in two.
            os.write(1, f"{event.seq} {event.hash} {event.run}\n".encode())

    for name in ("one", "two"):
        threading.Thread(target=write, args=(name,)).start()


if __name__ == "__main__":
    main(sys.argv[1])
