"""Puts what the daemon knows into the values that metrics export."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from failover.decide.decision import Decision
from failover.metrics import BackupSnapshot, ChannelSnapshot, PlanSnapshot, SiteSnapshot, Snapshot
from failover.model import RunKind, utc_now
from failover.monitor.ahead import contents
from failover.monitor.ready import PlanReady
from failover.recover.plan import Plan

if TYPE_CHECKING:
    from failover.daemon.daemon import Daemon
    from failover.daemon.house import House


def snapshot(daemon: Daemon) -> Snapshot:
    """Everything, now. Called from a thread of the console's."""
    return Snapshot(
        version=daemon.version,
        epoch=daemon.journal.epoch,
        ready=not daemon.not_ready(),
        started_at=daemon.started_at,
        reload_ok=not daemon.refused,
        reloaded_at=daemon.loaded_at,
        journal_seq=daemon.journal.head[0],
        journal_ok=daemon.journal.trouble is None,
        sites=tuple(_site(house) for house in list(daemon.houses.values())),
        channels={
            name: ChannelSnapshot(lane.sent, lane.failed, lane.dropped, lane.waiting, lane.error is None)
            for name, lane in daemon.outbox.states().items()
        },
    )


def _site(house: House) -> SiteSnapshot:
    monitor, setup, now = house.monitor, house.setup, utc_now()
    view = monitor.view
    run = view.run
    decisions = dict(monitor.judge.decisions)
    return SiteSnapshot(
        name=house.name,
        checks={name: monitor.checks.verdict(name, now).standing for name in setup.checks},
        intervals={name: probe.every for name, probe in setup.checks.items()},
        readings=dict(monitor.checks.readings),
        servers={name: seen.reachable for name, seen in dict(monitor.world.servers).items()},
        warm={name: server.warm() for name, server in setup.servers.items() if not name.startswith("fence:")},
        pairs={role: (its.home, its.standby) for role, its in setup.roles.items()},
        holders=dict(view.holders),
        addresses={one.name: (str(one.place), one.held_by) for one in monitor.addresses},
        plans={
            name: _plan(monitor.readiness.known.get(name), plan, decisions.get(name), setup.ready_every, now)
            for name, plan in setup.plans.items()
        },
        incidents=Counter(one.severity for one in view.incidents.open),
        automation=view.automation.on,
        run=str(run.state) if run is not None and run.kind is not RunKind.AHEAD else None,
        witnesses={name: one.seen for name, one in dict(monitor.observers.witnesses).items()},
        copies=_copies(house),
        maintenance_until={one.about: one.until for one in view.maintenance.now(now)},
        backups=_backups(house),
    )


def _plan(
    found: PlanReady | None, plan: Plan, decided: tuple[Decision, datetime] | None, every: float, now: datetime
) -> PlanSnapshot:
    told = found.forecast if found else None
    return PlanSnapshot(
        ready=found is not None and found.stands.works,
        mode=str(plan.mode),
        action=str(decided[0].action) if decided else "nothing",
        asked_at=found.at if found else None,
        asked_every=every,
        problems=Counter(problem.severity for problem in found.problems) if found else {},
        rto_seconds=told.rto_seconds if told else None,
        rto_worst_seconds=told.rto_worst_seconds if told else None,
        rpo_seconds=told.rpo_seconds(now) if told else None,
        rpo_worst_seconds=told.rpo_worst_seconds(now) if told else None,
    )


def _backups(house: House) -> dict[tuple[str, str], BackupSnapshot]:
    """What each server said last of its backups; nothing of one that wasn't asked yet."""
    found = {}
    for shelf in house.monitor.backups.catalogue.shelves():
        known = house.monitor.setup.backups.get(shelf.set)
        if shelf.at is None or known is None or shelf.server not in known.servers:
            continue
        good = shelf.good
        newest = good[0] if good else None
        found[shelf.set, shelf.server] = BackupSnapshot(
            len(good), newest.taken_at if newest else None, newest.bytes if newest else 0
        )
    return found


def _copies(house: House) -> dict[tuple[str, str], datetime]:
    """When each copy was last known to equal its source: copied then, or compared and found equal."""
    found = {key: copy.verified_at for key, copy in dict(house.view.copies).items()}
    for role, content in contents(house.setup):
        its = house.setup.roles[role]
        for server in (its.home, its.standby):
            checked = house.copies.last(server, content.path)
            if checked is not None:
                found[role, server] = max(checked.at, found.get((role, server), checked.at))
    return found
