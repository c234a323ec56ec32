"""What is done ahead of time, on the calendar, so that a recovery needn't: content copied to the server that stands by,
and the newest good backup of a database restored beside the one that it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from failover.errors import Busy, FailoverError
from failover.journal.run_view import DAEMON, RunView
from failover.model import Cause, RunKind, RunState
from failover.monitor.calendar import Calendar
from failover.monitor.setup import Setup
from failover.monitor.starts import Starts
from failover.recover.builtin import copy_ahead, follow, restore_ahead
from failover.recover.plan import Plan
from failover.recover.steps import ContentSynced, DatabaseRestored

TURNS, TURN_SECONDS = 60, 1.0


class Ahead:
    """Copies each role's content to its standby every so often, and to a holder that the source doesn't feed itself.

    Restores each role's newest good backup on its standby, as soon as there is a newer one than stands there restored.

    A run that people or a failure started goes first.
    """

    def __init__(
        self,
        setup: Setup,
        holders: Callable[[], Mapping[str, str]],
        starts: Starts,
        calendar: Calendar,
    ) -> None:
        self._setup = setup
        self._holders = holders
        self._contents = contents(setup)
        self._databases = databases(setup)
        self._starts = starts
        self._calendar = calendar
        for number in range(len(self._contents)):
            calendar.every(f"copy {number}", setup.ahead_every, partial(self._copy, number))
        for number in range(len(self._databases)):
            calendar.every(f"restore {number}", setup.ahead_every, partial(self._restore, number))
        self.last: dict[str, str] = {}
        """By name, what the newest attempt came to."""

    def ended(self, run: RunView) -> None:
        """A copy ended; what gave way to another run is tried again and nothing to speak of."""
        if run.state is not RunState.ABORTED:
            self.last[run.plan] = f"run {run.number} {run.state}" + (f": {run.reason}" if run.reason else "")

    def restore_soon(self) -> None:
        """There is a new backup, or more is known of one: don't wait for the calendar to come round."""
        self._calendar.soon(*(f"restore {number}" for number in range(len(self._databases))))

    def copy_soon(self) -> None:
        """A role moved, or a server is back: another one stands by now, and it may never have had the content."""
        self._calendar.soon(*(f"copy {number}" for number in range(len(self._contents))))

    async def _copy(self, number: int) -> None:
        role, content = self._contents[number]
        why = "content is copied ahead of time"
        await self._begin(f"copy-ahead-{role}", copy_ahead(role, content), why)
        if self._holders()[role] != self._setup.roles[role].home:
            await self._begin(f"follow-{role}", follow(role, content), why)

    async def _restore(self, number: int) -> None:
        role, step = self._databases[number]
        why = "the newest good backup is restored ahead of time"
        await self._begin(f"restore-ahead-{role}", restore_ahead(role, step), why)

    async def _begin(self, name: str, plan: Plan, why: str) -> None:
        """Begin it if there is something to do, and wait its turn where another is under way."""
        for _ in range(TURNS):
            if self._starts.under_way is not None:
                return  # the calendar comes round again
            try:
                run = await asyncio.wrap_future(self._starts.keep(name, plan, RunKind.AHEAD, Cause(DAEMON, why)))
            except Busy:
                await asyncio.sleep(TURN_SECONDS)
                continue
            except FailoverError as error:
                self.last[name] = str(error)
                return
            self.last[name] = f"run {run.number}" if run is not None else "nothing to do"
            return


def contents(setup: Setup) -> list[tuple[str, ContentSynced]]:
    """Every role with content, and the step of its plan that says how it is copied."""
    return [
        (role, step)
        for name, plan in setup.plans.items()
        if (role := setup.role_of_plan(name)) is not None
        for step in plan.steps
        if isinstance(step, ContentSynced)
    ]


def databases(setup: Setup) -> list[tuple[str, DatabaseRestored]]:
    """Every role with a database, and the step of its plan that says what it is restored from."""
    return [
        (role, step)
        for name, plan in setup.plans.items()
        if (role := setup.role_of_plan(name)) is not None and setup.roles[role].database is not None
        for step in plan.steps
        if isinstance(step, DatabaseRestored)
    ]
