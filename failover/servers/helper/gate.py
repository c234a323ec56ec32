"""The gate: the newest token, and one change at a time."""

import fcntl
import json
import os
import time
from typing import Any, Optional

from .clock import boot_id, boottime
from .errors import Answer, Refused, Token
from .files import put_file
from .places import Places
from .processes import end_work, start_of
from .values import parse_json
from .words import plain
from .work import Work


class Gate:
    """Lets one change in at a time on this server, and none whose token is older than the newest seen (I3).

    Token and work in progress lie in /run, which outlives helpers and not the boot; a request for another boot is
    refused by its boot id. A copy of the token in /var/lib serves the first request after a boot.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._held = -1

    def newest(self) -> Optional[Token]:
        """The newest token seen."""
        for path in (self._places.run + "/token", self._places.state + "/token"):
            try:
                with open(path, "rb") as file:
                    epoch, run = file.read(100).split()[:2]
                return int(epoch), int(run)
            except (OSError, ValueError):
                continue
        return None

    def enter(self, work: Work, token: Token, boot: str, not_after: float, memory: Optional[Token]) -> None:
        """Wait for this change's turn. A newer token ends the work of an older one, in whatever process it runs.

        Letting go of an address works without a writable /run too: nothing is safer than silence.

        Raises:
            Refused: ``stale-token``, ``other-boot``, ``past-deadline``, ``busy``, ``no-token-store``.
        """
        self._check(work, token, boot, not_after, memory)
        try:
            os.makedirs(self._places.run, mode=0o755, exist_ok=True)
            with self._locked("token.lock", work):
                self._check(work, token, boot, not_after, memory)
                self._remember(token)
                self._end_older(token)
            self._held = self._lock("lock", work)
            with self._locked("token.lock", work):
                self._check(work, token, boot, not_after, memory)
                self._sign(work, token)
        except OSError as error:
            if not lets_go(work):
                raise Refused("no-token-store", f"{self._places.run} can't be written: {plain(error)}") from None
            self._places.log(f"goes on without {self._places.run}: {plain(error)}")

    def leave(self) -> None:
        """The change is over: let the next one in."""
        if self._held >= 0:
            try:
                os.unlink(self._places.run + "/work")
            except OSError:
                pass  # it names a process that will be gone
            os.close(self._held)
            self._held = -1

    def keep_copy(self, work: Work, token: Token) -> None:
        """Keep the token beyond this boot. Disk, so not where a dead disk could hold up the release of an address."""
        try:
            if not lets_go(work):
                os.makedirs(self._places.state, mode=0o755, exist_ok=True)
                put_file(self._places.state + "/token", "{} {}\n".format(*token).encode(), 0o644, durable=False)
        except OSError:
            pass  # /run has the token; the copy only serves after a boot

    def _check(self, work: Work, token: Token, boot: str, not_after: float, memory: Optional[Token]) -> None:
        newest = max([seen for seen in (self.newest(), memory) if seen is not None] or [(0, 0)])
        if token < newest:
            raise Refused(
                "stale-token", "token {}.{} is older than {}.{}, the newest seen here".format(*(token + newest))
            )
        if boot != boot_id():
            raise Refused("other-boot", f"meant for boot {boot[:100]}, this is {boot_id()}")
        if boottime() >= not_after:
            raise Refused("past-deadline", f"came {boottime() - not_after:.3f} s after its time was over")
        work.in_time()

    def _lock(self, name: str, work: Work) -> int:
        fd = os.open(os.path.join(self._places.run, name), os.O_RDWR | os.O_CREAT, 0o600)
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            except BlockingIOError:
                pass
            if work.end - boottime() < 0.05:
                os.close(fd)
                raise Refused("busy", "another change was still under way: {}".format(self._working() or "unknown"))
            time.sleep(0.003)

    def _locked(self, name: str, work: Work) -> Any:
        return os.fdopen(self._lock(name, work), "r+b", buffering=0)  # closing it lets go

    def _remember(self, token: Token) -> None:
        if self.newest() == token and os.path.exists(self._places.run + "/token"):
            return
        # In place and always as long: once the file is there, a full file system can't keep a newer token out.
        fd = os.open(self._places.run + "/token", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(fd, "{:>20} {:>20}\n".format(*token).encode(), 0)
        finally:
            os.close(fd)

    def _working(self) -> Optional[Answer]:
        try:
            with open(self._places.run + "/work", "rb") as file:
                found = parse_json(file.read(4096))
            return dict(found) if start_of(found["pid"]) == found["start"] is not None else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _end_older(self, token: Token) -> None:
        found = self._working()
        if found is not None and (found["epoch"], found["run"]) < token:
            self._places.log("ends {verb} of token {epoch}.{run}, process {pid}: a newer token came".format(**found))
            end_work(found["pid"])

    def _sign(self, work: Work, token: Token) -> None:
        pid = os.getpid()
        entry = {"pid": pid, "start": start_of(pid), "epoch": token[0], "run": token[1], "verb": work.verb}
        put_file(self._places.run + "/work", json.dumps(entry).encode(), 0o600, durable=False)


def lets_go(work: Work) -> bool:
    """Whether the change only lets go of an address."""
    return work.verb == "address released"
