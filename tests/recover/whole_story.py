"""What happens to a whole bureau, told in the words of ``docs/failures.md``, and what must be so whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from failover.model import RunState
from failover.monitor.tell import message_of
from failover.notify.base import Severity
from tests.recover.bureau import WWW
from tests.recover.failures_table import AFTER
from tests.recover.whole_bureau import WholeBureau
from tests.recover.whole_servers import PAGES, UNIT
from tests.recover.whole_site import FAILURES

LATER_ROUNDS, LATER_SECONDS = 9, 10.0
"""Between two failures: more than a minute, after which they aren't one failure any more."""


@dataclass(frozen=True)
class Ended:
    """What came of the last failure."""

    happens: str
    told: list[str]
    paged: list[str]
    """What people were called for at night."""


@asynccontextmanager
async def bureau_at_work(folder: Path, *, fences: bool = True) -> AsyncIterator[WholeBureau]:
    """A bureau whose daemon runs; when it ends nothing that must never happen has happened."""
    bureau = WholeBureau(folder, fences=fences)
    try:
        await bureau.begin()
        yield bureau
        never_broken(bureau)
    finally:
        bureau.close()


async def play(folder: Path, first: str, second: str, when: str, *, fences: bool = True) -> Ended:
    """Let one failure happen, or two; what came of the last."""
    async with bureau_at_work(folder, fences=fences) as bureau:
        bureau.world.publish()
        mark = bureau.heard
        FAILURES[first](bureau.world)
        if when == AFTER:
            await bureau.settle()
            await bureau.rounds(LATER_ROUNDS, LATER_SECONDS)
            bureau.world.publish()
            mark = bureau.heard
        if second:
            FAILURES[second](bureau.world)
        await bureau.settle()
        await bureau.rounds(LATER_ROUNDS, LATER_SECONDS)
        return Ended(what_happened(bureau, mark), bureau.told(mark), pages(bureau, mark))


def what_happened(bureau: WholeBureau, mark: int) -> str:
    """As the table has it: ``Web moves to web-backup. Visitors: web-backup, newest pages. Editors: wcm on db.``"""
    world = bureau.world
    moves = ", then ".join(bureau.moves(mark)) or "nothing moves"
    visitors = world.visitors_get()
    if visitors is not None:
        newest = world.hosts[visitors].content[PAGES]["digest"] == f"build-{world.build}"
        visitors += ", newest pages" if newest else ", last verified copy"
    wcm = world.working_wcm()
    database = world.database_of(wcm) if wcm is not None else None
    editors = f"{wcm.name} on {database.name}" if wcm is not None and database is not None else None
    return f"{moves[0].upper()}{moves[1:]}. Visitors: {visitors or 'nobody'}. Editors: {editors or 'nobody'}."


def pages(bureau: WholeBureau, mark: int) -> list[str]:
    """The messages since event ``mark`` that call people at once."""
    messages = [message_of(event, None) for event in bureau.journal.events(after=mark)]
    return [message.title for message in messages if message is not None and message.severity is Severity.PAGE]


def never_broken(bureau: WholeBureau) -> None:
    """What must be so after every failure, and must have been so at every moment."""
    world = bureau.world
    world.look_for_losses("at the end")
    assert world.oracle.overlaps == [], "I1, I12: one server answers, one WCM runs"
    assert world.strays == [], "I11: nobody writes to the old database"
    assert world.lost == [], "I7: no row is lost"
    assert world.unsound == [], "I8: what serves came whole from a good backup"
    holders = bureau.view.holders
    answers = world.holder(WWW)
    running = [name for name in ("wcm", "wcm-backup") if world.hosts[name].runs(UNIT)]
    for run in bureau.runs():
        assert run.state.ended or run.state is RunState.WAITING, f"I9: run {run.number} is {run.state}"
        if run.state is not RunState.DONE:
            return  # it waits for people, and may be anywhere on its way
    assert answers is None or answers.name == holders["web"], "who answers is who holds the role"
    assert running in ([], [holders["wcm"]]), "the WCM that runs is the holder's"
