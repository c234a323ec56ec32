"""Begins runs from the loop, in threads: beginning one writes to the disk and may ask servers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from failover.errors import Busy, FailoverError
from failover.journal.queries import RunView
from failover.model import Cause, RunKind
from failover.recover.plan import Plan
from failover.recover.runner import Runner

log = logging.getLogger(__name__)

MOST_AT_ONCE = 3
"""Of a kind. Each kind has threads of its own: to find that there is nothing to copy takes long where a server is
silent, which is when a recovery is to begin.
"""


class Starts:
    """Begins runs of one site. Futures hold the run as it began, or the error that kept it from beginning."""

    def __init__(self, runner: Runner, site: str) -> None:
        self._runner = runner
        self._threads = {
            kind: ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix=f"start-{kind}-{site}")
            for kind in (RunKind.RECOVER, RunKind.KEEP, RunKind.AHEAD)
        }

    @property
    def under_way(self) -> RunView | None:
        """The run that is under way; one ahead of time, which gives way, isn't meant."""
        run = self._runner.under_way.current()
        return run if run is not None and run.kind is not RunKind.AHEAD else None

    def recover(self, plan: str, cause: Cause) -> Future[RunView | None]:
        """Begin a plan of the config."""
        kind = RunKind.RECOVER
        return self._submit(kind, f"plan {plan}", lambda: self._runner.start(plan, kind, cause))

    def keep(self, name: str, plan: Plan, kind: RunKind, cause: Cause) -> Future[RunView | None]:
        """Begin a builtin plan if it has something to do; the future holds None when it hasn't."""
        return self._submit(kind, name, lambda: self._runner.keep(name, plan, kind, cause))

    def close(self) -> None:
        """Begin nothing more."""
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    def _submit(self, kind: RunKind, what: str, act: Callable[[], RunView | None]) -> Future[RunView | None]:
        return self._threads[kind].submit(self._guarded, what, act)

    def _guarded(self, what: str, act: Callable[[], RunView | None]) -> RunView | None:
        try:
            return act()
        except Busy as error:
            log.debug("%s isn't begun: %s", what, error)
            raise
        except FailoverError as error:
            log.error("%s isn't begun: %s", what, error)
            raise
        except Exception:
            log.exception("%s isn't begun, by a bug", what)
            raise
