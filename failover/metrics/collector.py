"""Turns a snapshot into metric families at every scrape. Names follow blackbox_exporter where it has a word for it.

Labels come from the config only, never from what servers say; times are timestamps, not ages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from failover.metrics.snapshot import SiteSnapshot, Snapshot
from failover.metrics.tally import LAG_BUCKETS, Tally
from failover.model import Standing, State

PLACES = ("ok", "missing", "elsewhere", "twice", "unparked", "unknown")
ACTIONS = ("nothing", "wait", "confirm", "propose", "recover", "alarm")
WEIGHTS = ("stops", "loss", "hint")
SEVERITIES = ("page", "warning", "info")
Row = tuple[Sequence[str], float]


def make_registry(snapshot: Callable[[], Snapshot], tally: Tally) -> CollectorRegistry:
    """A registry of our own: no globals, no ``_created`` series."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library has no types for it
    registry = CollectorRegistry()
    registry.register(_Collector(snapshot, tally))
    ProcessCollector(registry=registry)
    return registry


class _Collector(Collector):
    def __init__(self, snapshot: Callable[[], Snapshot], tally: Tally) -> None:
        self._snapshot = snapshot
        self._tally = tally

    def describe(self) -> Iterable[Metric]:
        """Nothing: whoever registers it needn't have a config yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family, from one snapshot."""
        now = self._snapshot()
        yield from _daemon(now)
        yield from _checks(now.sites)
        yield from _world(now.sites)
        yield from _plans(now.sites)
        yield from _counts(self._tally)


def _gauge(name: str, says: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = GaugeMetricFamily(f"failover_{name}", says, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, says: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = CounterMetricFamily(f"failover_{name}", says, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _daemon(now: Snapshot) -> Iterator[Metric]:
    yield InfoMetricFamily("failover_build", "The version that runs.", value={"version": now.version})
    plain = (
        ("ready", "1 when this monitor can do its work.", now.ready),
        ("leader", "1 when this monitor is the one that acts.", 1),
        ("lease_epoch", "The number of this start; helpers refuse what comes from an older one.", now.epoch),
        ("start_timestamp_seconds", "When this process began to watch.", _stamp(now.started_at)),
        ("config_last_reload_successful", "1 when the newest config that was read is in use.", now.reload_ok),
        ("config_last_reload_success_timestamp_seconds", "When that was read.", _stamp(now.reloaded_at)),
        ("journal_writable", "1 when the journal's disk takes what is written.", now.journal_ok),
    )
    for name, says, value in plain:
        yield _gauge(name, says, (), [((), float(value))])
    yield _counter("journal_events", "Lines in the journal.", (), [((), now.journal_seq)])
    channels = now.channels.items()
    results = [
        ((name, result), float(count))
        for name, channel in channels
        for result, count in (("sent", channel.sent), ("failed", channel.failed), ("dropped", channel.dropped))
    ]
    yield _counter(
        "notifications", "Messages by what became of them; failed: attempts.", ("channel", "result"), results
    )
    waiting = [((name,), float(channel.waiting)) for name, channel in channels]
    yield _gauge("notifications_waiting", "Messages that aren't sent yet.", ("channel",), waiting)
    fine = [((name,), float(channel.ok)) for name, channel in channels]
    yield _gauge("channel_up", "0 when the newest attempt to send through it failed.", ("channel",), fine)


def _checks(sites: Sequence[SiteSnapshot]) -> Iterator[Metric]:
    labels = ("site", "check")
    yield _gauge(
        "check_standing",
        "1 for the standing of a check that holds now, 0 for the others.",
        ("site", "check", "standing"),
        [
            ((site.name, check, str(each)), float(each is standing))
            for site in sites
            for check, standing in site.checks.items()
            for each in Standing
        ],
    )
    every = [((site.name, check), seconds) for site in sites for check, seconds in site.intervals.items()]
    yield _gauge("probe_interval_seconds", "Time from one look to the next.", labels, every)
    looks = [
        (site.name, check, reading)
        for site in sites
        for check, reading in site.readings.items()
        if check in site.checks
    ]
    judged = [((site, check), float(r.state is State.UP)) for site, check, r in looks if r.state is not State.UNKNOWN]
    yield _gauge("probe_success", "1 when the newest look was good; absent when it couldn't tell.", labels, judged)
    took = [((site, check), reading.seconds) for site, check, reading in looks]
    yield _gauge("probe_duration_seconds", "How long the newest look took.", labels, took)
    at = [((site, check), _stamp(reading.at)) for site, check, reading in looks]
    yield _gauge("probe_last_run_timestamp_seconds", "When the newest look began.", labels, at)
    phases = [((site, check, phase), s) for site, check, reading in looks for phase, s in reading.phases.items()]
    says = "How long each phase of the newest look took."
    yield _gauge("probe_phase_duration_seconds", says, (*labels, "phase"), phases)
    names = sorted({name for _, _, reading in looks for name in reading.values})
    for name in names:
        rows = [((site, check), float(r.values[name])) for site, check, r in looks if name in r.values]
        yield _gauge(f"probe_{name}", f"{name.replace('_', ' ')}, as the newest look found it.", labels, rows)


def _world(sites: Sequence[SiteSnapshot]) -> Iterator[Metric]:
    servers = [
        ((site.name, server), float(there))
        for site in sites
        for server, there in site.servers.items()
        if there is not None
    ]
    yield _gauge("server_reachable", "1 when the server's helper answers.", ("site", "server"), servers)
    warm = [((site.name, server), float(warm)) for site in sites for server, warm in site.warm.items()]
    yield _gauge("server_session_warm", "1 when a session stands ready.", ("site", "server"), warm)
    holders = [
        ((site.name, role, server), float(site.holders.get(role) == server))
        for site in sites
        for role, pair in site.pairs.items()
        for server in pair
    ]
    yield _gauge("role_holder", "1 for the server that holds the role.", ("site", "role", "server"), holders)
    homes = [
        ((site.name, role), float(site.holders.get(role) == pair[0]))
        for site in sites
        for role, pair in site.pairs.items()
    ]
    yield _gauge("role_at_home", "1 when the role's home server holds it.", ("site", "role"), homes)
    places = [
        ((site.name, name, place), float(place == now))
        for site in sites
        for name, (now, _) in site.addresses.items()
        for place in PLACES
    ]
    yield _gauge(
        "address_place", "1 for where an address is, against where it should be.", ("site", "address", "place"), places
    )
    count = [((site.name, name), float(len(held))) for site in sites for name, (_, held) in site.addresses.items()]
    yield _gauge("address_holders", "How many servers say that they hold the address.", ("site", "address"), count)
    seen = [
        ((site.name, name), float(seen)) for site in sites for name, seen in site.witnesses.items() if seen is not None
    ]
    yield _gauge("witness_seen", "1 when the witness was seen at the newest look.", ("site", "witness"), seen)


def _plans(sites: Sequence[SiteSnapshot]) -> Iterator[Metric]:
    plans = [(site.name, name, plan) for site in sites for name, plan in site.plans.items()]
    ready = [((site, name), float(plan.ready)) for site, name, plan in plans]
    yield _gauge("plan_ready", "1 when the plan would work now, with loss or without.", ("site", "plan"), ready)
    asked = [((site, name), _stamp(plan.asked_at)) for site, name, plan in plans if plan.asked_at is not None]
    says = "When it was last asked whether the plan would work."
    yield _gauge("plan_ready_last_asked_timestamp_seconds", says, ("site", "plan"), asked)
    every = [((site, name), plan.asked_every) for site, name, plan in plans]
    yield _gauge("plan_ready_interval_seconds", "Time from one such question to the next.", ("site", "plan"), every)
    weights = [
        ((site, name, each), float(plan.problems.get(each, 0))) for site, name, plan in plans for each in WEIGHTS
    ]
    says = "What stands against the plan, by how much it weighs."
    yield _gauge("plan_problems", says, ("site", "plan", "severity"), weights)
    for name, says in (
        ("rto", "How long the plan's recovery would take now, from the failure; waits for people aren't in it."),
        ("rto_worst", "The same, with the longest of every part."),
        ("rpo", "How much of what was written would be lost were the failure now."),
        ("rpo_worst", "The same where the source of a copy falls away too."),
    ):
        rows = [
            ((site, plan), seconds)
            for site, plan, its in plans
            if (seconds := getattr(its, f"{name}_seconds")) is not None
        ]
        yield _gauge(f"plan_predicted_{name}_seconds", says, ("site", "plan"), rows)
    actions = [((site, name, each), float(each == plan.action)) for site, name, plan in plans for each in ACTIONS]
    yield _gauge("plan_action", "1 for what is decided about the plan now.", ("site", "plan", "action"), actions)
    automatic = [((site, name), float(plan.mode == "auto")) for site, name, plan in plans]
    yield _gauge("plan_automatic", "1 when the plan may start by itself.", ("site", "plan"), automatic)
    switches = [((site.name,), float(site.automation)) for site in sites]
    yield _gauge("automation_on", "0 when everything automatic is switched off.", ("site",), switches)
    open_ = [((site.name, each), float(site.incidents.get(each, 0))) for site in sites for each in SEVERITIES]
    yield _gauge("incidents_open", "Open incidents.", ("site", "severity"), open_)
    running = [((site.name, each), float(site.run == each)) for site in sites for each in ("running", "waiting")]
    yield _gauge("run_under_way", "1 while a run is under way, or waits for a person.", ("site", "state"), running)
    copies = [((site.name, role, server), _stamp(at)) for site in sites for (role, server), at in site.copies.items()]
    says = "When the copy of the role's content on the server was last equal to its source."
    yield _gauge("content_last_verified_timestamp_seconds", says, ("site", "role", "server"), copies)
    yield from _backups(sites)
    until = [((site.name, about), _stamp(at)) for site in sites for about, at in site.maintenance_until.items()]
    yield _gauge("maintenance_end_timestamp_seconds", "When open maintenance ends by itself.", ("site", "about"), until)


def _backups(sites: Sequence[SiteSnapshot]) -> Iterator[Metric]:
    labels = ("site", "set", "server")
    there = [((site.name, *place), one) for site in sites for place, one in site.backups.items()]
    says = "The moment that the newest good backup holds; absent without one."
    newest = [(names, _stamp(one.newest_at)) for names, one in there if one.newest_at is not None]
    yield _gauge("backup_newest_timestamp_seconds", says, labels, newest)
    sizes = [(names, float(one.bytes)) for names, one in there if one.newest_at is not None]
    yield _gauge("backup_bytes", "The size of the newest good backup.", labels, sizes)
    good = [(names, float(one.good)) for names, one in there]
    yield _gauge("backup_good", "How many backups of the set on the server can be used.", labels, good)


def _counts(tally: Tally) -> Iterator[Metric]:
    looks = [((site, check, str(state)), float(n)) for (site, check, state), n in dict(tally.looks).items()]
    yield _counter("probe_runs", "Looks by what they said.", ("site", "check", "state"), looks)
    runs = [
        ((site, plan, str(kind), str(result)), float(n)) for (site, plan, kind, result), n in dict(tally.runs).items()
    ]
    yield _counter("plan_runs", "Runs by how they ended.", ("site", "plan", "kind", "result"), runs)
    last = [((site, plan, str(kind)), seconds) for (site, plan, kind), seconds in dict(tally.last_run).items()]
    yield _gauge("plan_last_run_duration_seconds", "How long the newest run took.", ("site", "plan", "kind"), last)
    says = "How long the steps of a plan took."
    steps = SummaryMetricFamily("failover_plan_step_duration_seconds", says, labels=("site", "plan", "step"))
    for (site, plan, step), (count, total) in dict(tally.steps).items():
        steps.add_metric((site, plan, str(step)), count, total)
    yield steps
    lag = HistogramMetricFamily("failover_schedule_lag_seconds", "How late looks began.", labels=("site",))
    for site, counts in dict(tally.lags).items():
        total, buckets = 0, []
        for bound, count in zip((*map(str, LAG_BUCKETS), "+Inf"), counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        lag.add_metric((site,), buckets, tally.lag_sums[site])
    yield lag


def _stamp(at: datetime) -> float:
    return round(at.timestamp(), 3)
