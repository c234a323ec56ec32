"""Answers the API: finds the site, asks its parts, puts what they say into JSON. Called from the console's threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from failover.console.desk import Json, Person
from failover.daemon import backups_desk, views
from failover.daemon.ready_view import beside_view, ready_view
from failover.errors import NotAllowed, NotFound
from failover.journal.queries import RunView
from failover.journal.queries import runs as fold_runs
from failover.journal.verify import verify
from failover.model import Cause, Event, RunKind, Standing, utc_now
from failover.notify.base import Message, Severity
from failover.recover.loss import word_for

if TYPE_CHECKING:
    from failover.daemon.daemon import Daemon
    from failover.daemon.house import House

EXPLAIN_BACK = 20_000
FORECASTS_BACK = 500
VERDICTS_BACK = 200
SWITCH, RECOVER = "switch", "recover"


class TheDesk:
    """The :class:`failover.console.desk.Desk` of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._journal = daemon.journal

    def status(self, site: str | None) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        daemon, now = self._daemon, utc_now()
        reasons = daemon.not_ready()
        chosen = [self._house(name) for name in ([site] if site is not None else list(daemon.houses))]
        return {
            "version": daemon.version,
            "epoch": self._journal.epoch,
            "now": views.moment(now),
            "since": views.moment(daemon.started_at),
            "ready": not reasons,
            "reasons": reasons,
            "config": {
                "path": str(daemon.places.config),
                "sha256": daemon.config_sha256,
                "loaded_at": views.moment(daemon.loaded_at),
                "refused": list(daemon.refused),
            },
            "journal": {"seq": self._journal.head[0], "hash": self._journal.head[1], "trouble": self._journal.trouble},
            "channels": [
                {
                    "name": name,
                    "kind": daemon.channel_kind(name),
                    "state": "failed" if lane.error else "ok",
                    "waiting": lane.waiting,
                    "sent": lane.sent,
                    "says": lane.error or "",
                }
                for name, lane in daemon.outbox.states().items()
            ],
            "sites": [views.site_view(house.name, house.title, house.monitor, now) for house in chosen],
        }

    def runs(self, site: str | None, limit: int) -> Sequence[Json]:
        """See :class:`~failover.console.desk.Desk`."""
        house = self._house(site)
        return [views.run_line(run) for run in list(house.view.runs.by_number.values())[::-1][:limit]]

    def run(self, site: str | None, number: int) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        house = self._house(site)
        found = [run for run in fold_runs(self._journal.events(run=number)) if run.site == house.name]
        if not found:
            raise NotFound(f"there is no run {number} of {house.name}")
        swaps = self._journal.events(
            site=house.name, kinds=["database.swapped"], run=number, newest_first=True, limit=1
        )
        lost = float(swaps[0].data["loss_seconds"]) if swaps else None
        return {**views.run_view(found[0]), "forecast": self._beside(house, found[0]), "loss_seconds": lost}

    def ready(self, site: str | None, plan: str | None) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        house, now = self._house(site), utc_now()
        known = house.monitor.setup.plans
        if plan is not None and plan not in known:
            raise NotFound(f"there is no plan {plan!r}; there are {', '.join(known) or 'none'}")
        plans = [ready_view(house.monitor, name, now) for name in ([plan] if plan is not None else known)]
        return {"site": house.name, "title": house.title, "now": views.moment(now), "plans": plans}

    def _beside(self, house: House, run: RunView) -> Json | None:
        plan = house.monitor.setup.plans.get(run.plan)
        checks = plan.condition.checks if plan is not None and plan.condition is not None else ()
        looks = self._journal.events(
            site=run.site, kinds=["verdict.changed"], until=run.opened_at, newest_first=True, limit=VERDICTS_BACK
        )
        failed = (one.at for one in looks if one.data["check"] in checks and one.data["was"] == Standing.UP)
        return beside_view(self._foretold(run), run, next(failed, None))

    def backups(self, site: str | None, name: str | None) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        house, now = self._house(site), utc_now()
        return {"site": house.name, "now": views.moment(now), "sets": backups_desk.sets_view(house, name)}

    def begin_backup(
        self,
        site: str | None,
        verb: str,
        name: str,
        person: Person,
        *,
        backup: str | None,
        server: str | None,
        into: str | None,
    ) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        return views.run_line(backups_desk.begin(self._house(site), verb, name, backup, server, into, person))

    def _foretold(self, run: RunView) -> Event | None:
        """The newest forecast of the run's plan from before the run."""
        events = self._journal.events(
            site=run.site, kinds=["plan.forecast"], until=run.opened_at, newest_first=True, limit=FORECASTS_BACK
        )
        return next((event for event in events if event.data["plan"] == run.plan), None)

    def events(self, site: str | None, *, run: int | None, after: int, limit: int) -> Sequence[Json]:
        """See :class:`~failover.console.desk.Desk`."""
        name = self._house(site).name if site is not None or run is not None else None
        return [views.event_view(event) for event in self._journal.events(site=name, run=run, after=after, limit=limit)]

    def dry(self, site: str | None, role: str, verb: str) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        house = self._house(site)
        return views.dry_view(house.runner.dry(_plan(house, role), RunKind(verb)), verb)

    def start(
        self,
        site: str | None,
        role: str,
        verb: str,
        person: Person,
        *,
        force: str | None,
        why: str | None,
        accept_loss: bool,
    ) -> Json:
        """See :class:`~failover.console.desk.Desk`. A recovery needs a failure that is seen here too."""
        house = self._house(site)
        plan = _plan(house, role)
        kind = RunKind(verb)
        if kind is RunKind.RECOVER and force is None:
            _agree_to_recover(house, plan, role)
        cause = person.cause(force or why or f"{verb} {role}, asked for by a person")
        words = (word_for(role),) if accept_loss else ()
        return views.run_line(house.runner.start(plan, kind, cause, force=force is not None, words=words))

    def commit(self, site: str | None, role: str, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        house = self._house(site)
        _plan(house, role)
        move = house.runner.commit(role, cause)
        return {"says": f"{role} stays on {move.new}: its move from {move.old} in run {move.run} is committed"}

    def resume(self, site: str | None, number: int, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        return views.run_line(self._house(site).runner.resume(number, cause))

    def abort(self, site: str | None, number: int, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        return views.run_line(self._house(site).runner.abort(number, cause))

    def mark_done(self, site: str | None, number: int, step: int, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        return views.run_line(self._house(site).runner.mark_done(number, step, cause))

    def word(self, site: str | None, number: int, word: str, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        return views.run_line(self._house(site).runner.word(number, word, cause))

    def explain(self, site: str | None, at: datetime | None) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        house = self._house(site)
        events = self._journal.events(
            site=house.name, kinds=["decision.made"], until=at, newest_first=True, limit=EXPLAIN_BACK
        )
        latest: dict[str, Event] = {}
        for event in events:
            latest.setdefault(event.data["plan"], event)
        wanted = [plan for plan in house.monitor.setup.plans if plan in latest]
        wanted += [plan for plan in latest if plan not in wanted and at is not None]
        return {"decisions": [views.decision_view(latest[plan]) for plan in wanted]}

    def acknowledge(self, site: str | None, plan: str, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        house = self._house(site)
        if plan not in house.monitor.setup.plans:
            raise NotFound(f"there is no plan {plan!r}; there are {', '.join(house.monitor.setup.plans) or 'none'}")
        self._journal.append("plan.acknowledged", site=house.name, by=cause.by, data={"plan": plan, "why": cause.why})
        return {"says": f"plan {plan} is acknowledged: it may act by itself again"}

    def begin_maintenance(self, site: str | None, about: str, lasts_seconds: float, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        house = self._house(site)
        known = ("site", *house.monitor.setup.roles, *house.monitor.setup.machines)
        if about not in known:
            raise NotFound(f"there is no server or role {about!r}; there are {', '.join(known)}")
        until = utc_now() + timedelta(seconds=lasts_seconds)
        data = {"about": about, "until": until.isoformat(), "why": cause.why}
        self._journal.append("maintenance.begun", site=house.name, by=cause.by, data=data)
        return {"about": about, "until": until.isoformat()}

    def end_maintenance(self, site: str | None, about: str, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        house = self._house(site)
        open_ = [window.about for window in house.view.maintenance.now(utc_now())]
        if about not in open_:
            raise NotFound(f"{about!r} isn't in maintenance; in maintenance: {', '.join(open_) or 'nothing'}")
        self._journal.append("maintenance.ended", site=house.name, by=cause.by, data={"about": about, "why": cause.why})
        return {"about": about}

    def switch_automation(self, site: str | None, on: bool, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`. Without a site it is the switch of all sites."""
        name = self._house(site).name if site is not None else ""
        self._journal.append("automation.switched", site=name, by=cause.by, data={"on": on, "why": cause.why})
        return {"on": on}

    def reload(self, cause: Cause) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        return {"says": self._daemon.reload_from_thread(cause)}

    def audit_head(self) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        seq, digest = self._journal.head
        return {"seq": seq, "hash": digest}

    def audit_verify(self) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        found = verify(self._journal.path, head=self._journal.head)
        seq, digest = found.head
        return {"sound": found.sound, "events": found.events, "seq": seq, "hash": digest, "says": str(found)}

    def notify_test(self, channel: str | None, person: Person) -> Json:
        """See :class:`~failover.console.desk.Desk`."""
        known = self._daemon.outbox.states()
        if channel is not None and channel not in known:
            raise NotFound(f"there is no channel {channel!r}; there are {', '.join(known) or 'none'}")
        title = f"a test of failover, asked for by {person}"
        text = f"{title}. Nothing is wrong."
        site = next(iter(self._daemon.houses), "")
        message = Message(site, f"test/{utc_now().isoformat()}", Severity.PAGE, title, text)
        tried = self._daemon.outbox.test(channel, message)
        return {"channels": [{"channel": one.channel, "sent": one.sent, "answer": one.answer} for one in tried]}

    def _house(self, site: str | None) -> House:
        houses: Mapping[str, House] = self._daemon.houses
        if site is None and len(houses) != 1:
            raise NotFound(f"say which site: {', '.join(houses)}")
        if site is not None and site not in houses:
            raise NotFound(f"there is no site {site!r}; there are {', '.join(houses)}")
        house = houses[site] if site is not None else next(iter(houses.values()))
        house.caught_up()
        return house


def _plan(house: House, role: str) -> str:
    plan = house.monitor.setup.plan_of_role(role)
    if plan is None:
        known = [name for name in house.monitor.setup.roles if house.monitor.setup.plan_of_role(name)]
        raise NotFound(f"no plan moves a role {role!r}; roles with a plan are {', '.join(known) or 'none'}")
    return plan


def _agree_to_recover(house: House, plan: str, role: str) -> None:
    """Whether the daemon sees the failure too. Its word is not needed for a switch, nor when a person takes it on."""
    condition = house.monitor.setup.plans[plan].condition
    now = utc_now()
    if condition is None:
        raise NotAllowed(f"plan {plan} has no failure that it is for; use: failover switch {role}")
    verdicts = {check: house.monitor.checks.verdict(check, now) for check in condition.checks}
    standings: dict[str, Standing] = {check: verdict.standing for check, verdict in verdicts.items()}
    if not condition.holds(standings):
        seen = "; ".join(f"{check} is {v.standing} ({v.reason})" for check, v in verdicts.items())
        raise NotAllowed(
            f"there is no failure that plan {plan} is for: {seen}. To move {role} as planned: failover switch {role}. "
            f"If you know better: failover recover {role} --force 'the reason'"
        )
