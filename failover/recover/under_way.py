"""Which runs of a site are under way: one, and beside it at most one AHEAD that is giving way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from failover.errors import Busy, NotAllowed
from failover.journal.queries import RunView
from failover.model import RunKind, format_span
from failover.recover.live import Live
from failover.recover.undo import End

log = logging.getLogger(__name__)


class UnderWay:
    """Says who may begin, who is at work, and when all have come to rest. Any thread may ask."""

    def __init__(self) -> None:
        self.settled = threading.Condition(threading.RLock())
        """Held by whoever looks and then begins, so that nobody else begins in between."""
        self._live: dict[int, Live] = {}
        self._stuck: dict[int, str] = {}
        self._callbacks: list[Callable[[RunView], None]] = []
        self._closing = False

    # begin and end ---------------------------------------------------------------------------------------------

    def make_way(self, kind: RunKind) -> None:
        """Let a run of that kind begin; one AHEAD is told to give way.

        Raises:
            Busy: another is under way; it has its number. NotAllowed: nothing is begun any more.
        """
        with self.settled:
            if self._closing:
                raise NotAllowed("failover is stopping; nothing is begun any more")
            for number, live in self._live.items():
                if live.record.view.kind is RunKind.AHEAD and kind is not RunKind.AHEAD:
                    live.control.abort(
                        f"gives way to a {kind} run"
                    )  # its next request is older than the new run's (I3)
                    continue
                raise _busy(number, live)

    def enter(self, live: Live) -> None:
        """From here on it is under way."""
        with self.settled:
            self._live[live.record.number] = live
            self._stuck.pop(live.record.number, None)

    def carry(self, live: Live, work: Callable[[], End]) -> None:
        """Do a run's work in the caller's thread; it isn't under way any more then, and its end was told."""
        try:
            live.carry(work)
        finally:
            with self.settled:
                del self._live[live.record.number]
                if live.trouble:
                    self._stuck[live.record.number] = live.trouble
                self.settled.notify_all()
        self.tell(live.record.view)

    def close(self, within_seconds: float = 15.0) -> bool:
        """Begin nothing more and let runs rest before their next change; the next start takes them up."""
        with self.settled:
            self._closing = True
            for live in self._live.values():
                live.control.halt()
        done = self.wait_idle(within_seconds)
        if not done:
            log.warning("a run still waits for a server after %s", format_span(within_seconds))
        return done

    # look ------------------------------------------------------------------------------------------------------

    def get(self, run: int) -> Live | None:
        """A run by its number, while it is under way."""
        with self.settled:
            return self._live.get(run)

    def refuse_if_moving(self, role: str) -> None:
        """Raise Busy while a run moves that role."""
        with self.settled:
            for number, live in self._live.items():
                if live.record.view.role == role and live.record.view.kind.moves:
                    raise _busy(number, live)

    def current(self) -> RunView | None:
        """The run that is under way; one AHEAD only when there is no other."""
        with self.settled:
            views = [live.record.view for live in self._live.values()]
        views.sort(key=lambda view: (view.kind is RunKind.AHEAD, view.number))
        return views[0] if views else None

    def stuck(self) -> Mapping[int, str]:
        """Runs that stopped without the journal being told, because it couldn't be written, and why."""
        with self.settled:
            return dict(self._stuck)

    def wait_idle(self, within_seconds: float) -> bool:
        """Wait until no run is under way; whether that is so."""
        with self.settled:
            return self.settled.wait_for(lambda: not self._live, within_seconds)

    @property
    def closing(self) -> bool:
        """Whether it lets nothing more begin."""
        return self._closing

    # tell ------------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[RunView], None]) -> None:
        """Call back whenever a run changes its state: begun, waiting, running again, ended."""
        self._callbacks.append(callback)

    def tell(self, view: RunView) -> None:
        """A run changed its state."""
        for callback in self._callbacks:
            try:
                callback(view)
            except Exception:
                log.exception("a subscriber failed at run %d", view.number)


def _busy(number: int, live: Live) -> Busy:
    view = live.record.view
    return Busy(f"run {number} ({view.plan}, {view.kind}) is under way", run=number)
