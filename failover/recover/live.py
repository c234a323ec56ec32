"""A run that is under way, from its first change to the line that says how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable

from failover.errors import FailoverError, JournalUnwritable
from failover.model import RunState
from failover.recover.control import Clock, Control, Halted
from failover.recover.engine import Engine
from failover.recover.run import RunJournal
from failover.recover.undo import End, commands

log = logging.getLogger(__name__)


class Live:
    """Holds the reins of one run, and sees to it that its end is written or at least said."""

    def __init__(self, record: RunJournal, control: Control, engine: Engine, clock: Clock) -> None:
        self.record = record
        self.control = control
        self.engine = engine
        self.trouble: str | None = None
        """Why it stopped, when the journal couldn't be told."""
        self._clock = clock
        self._began = clock.monotonic()

    def carry(self, work: Callable[[], End]) -> None:
        """Do the work and write its end. Raises nothing: what went wrong is written, or logged and in ``trouble``."""
        number = self.record.number
        try:
            end = self._ended(work)
            seconds = self._clock.monotonic() - self._began
            self.record.ended(end.state, end.reason, seconds, settled=end.settled, healed=end.healed)
        except Halted:
            log.info("run %d rests until the next start", number)
        except FailoverError as error:
            # What can't be written isn't done. The journal holds the run as open: the next start takes it up.
            self.trouble = f"stopped where it is: {error}"
            log.critical("run %d %s", number, self.trouble)

    def _ended(self, work: Callable[[], End]) -> End:
        try:
            return work()
        except (Halted, JournalUnwritable):
            raise
        except Exception as error:
            log.exception("run %d met what nobody foresaw", self.record.number)
            what = f"{type(error).__name__}: {error}"
            said = f"an error that nobody foresaw ({what}), so nothing more was touched. "
            return End(RunState.STOPPED, said + commands(self.record.number), settled=False)
