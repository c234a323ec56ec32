"""What a visitor sees when the web server fails: keepalived beside us, in one lab and one run, in turn.

``python -m tests.bench.outage [--rounds 5]``. Four contenders, keepalived and we with two sets of timers each, have a
pair of hosts and one IPv4 address; a visitor behind the router asks every 10 ms. An outage counts from the fault on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from tests.bench import peers, profiles, results, story
from tests.bench.sheet import Sheet, judged, shown, times
from tests.e2e.bureau import WEB_HOSTS, Bureau
from tests.lab import Lab, LabError, Oracle, Visitor
from tests.lab.lab import BUILDS

NGINX, POWER = "nginx killed", "host powered off"
FAULTS = (NGINX, POWER)
PEERS = {timers.name: timers for timers in (peers.DEFAULT, peers.FASTEST)}
OURS = {profiles.DEFAULT: peers.DEFAULT.name, profiles.FAST: peers.FASTEST.name}
"""Each of our profiles, and the peer that it is held against."""
AIMS = {
    (profiles.DEFAULT, NGINX): 0.81,
    (profiles.DEFAULT, POWER): 3.26,
    (profiles.FAST, NGINX): 0.53,
}
"""Seconds; keepalived's medians when the aims were set."""
AIM_REPLY = 0.150
"""Seconds from the decision to the first good reply."""
ADDRESS = "10.77.0.100"
GRACE_SECONDS = 5.0
"""A daemon that has just started doesn't act for 3 s; this is that and some more."""


def outage(visitor: Visitor, fault_at: float) -> float:
    """The longest time without a good reply that lay, or began, after the fault."""
    spans = [gap.end - max(gap.start, fault_at) for gap in visitor.outages(0.0) if gap.end > fault_at]
    return max(spans, default=0.0)


def inflict(lab: Lab, fault: str, host: str) -> None:
    """Kill nginx on a host, or the host."""
    if fault == NGINX:
        lab[host].kill_service("nginx")
    else:
        lab[host].power_off()


def repair(lab: Lab, fault: str, host: str) -> None:
    """What people do afterwards."""
    if fault == NGINX:
        lab[host].run("systemctl reset-failed nginx; systemctl start nginx")
    else:
        lab[host].boot()


@contextmanager
def visited(lab: Lab, address: str, home: str) -> Iterator[Visitor]:
    """A visitor who is being served by the usual host."""
    with Visitor(lab.client, address) as visitor:
        visitor.await_host(home, within=30)
        time.sleep(0.5)
        yield visitor
        time.sleep(0.3)
        visitor.stop()


def peer_fails(lab: Lab, fault: str) -> dict[str, Any]:
    """One failure under keepalived, which goes back by itself once its first host is well again."""
    time.sleep(2)  # VRRP has settled
    with visited(lab, peers.IP, peers.HOME) as visitor:
        fault_at = time.time()
        inflict(lab, fault, peers.HOME)
        visitor.await_host(peers.STANDBY, within=60)
    found = {"outage_seconds": outage(visitor, fault_at)}
    repair(lab, fault, peers.HOME)
    return found


def ours_fails(bureau: Bureau, profile: str, fault: str) -> dict[str, Any]:
    """One failure under our daemon, with a journal that says where the time went; and back by ``failover switch``."""
    lab = bureau.lab
    bureau.write_config(profiles.config(profile))
    # Started anew each time: what it has seen of the last rounds would make it call the site flapping, and rightly.
    bureau.monitor.run("systemctl reset-failed failover; systemctl restart failover", timeout=60, check=False)
    bureau.ready(60)
    time.sleep(GRACE_SECONDS)
    seen = story.events(bureau, 0)
    with Oracle(lab) as oracle, visited(lab, ADDRESS, "web") as visitor:
        fault_at = time.time()
        inflict(lab, fault, "web")
        visitor.await_host("web-backup", within=60)
        first = next(reply.ended for reply in visitor.good if reply.by == "web-backup" and reply.ended >= fault_at)
        bureau.until_run("recover", ("done",), 60, after=max((run for _, _, run, _ in seen if run), default=0))
        overlap = oracle.overlap_seconds(ADDRESS)
    events = story.events(bureau, len(seen))
    repair(lab, fault, "web")
    bureau.cli("ack", "web", "--why", "repaired")
    bureau.ready(60)
    bureau.cli("switch", "web", "--yes", timeout=60)
    bureau.ready(60)
    opened = story.first(events, "run.opened", kind="recover")
    return {
        "outage_seconds": outage(visitor, fault_at),
        "detected_seconds": opened - fault_at,
        "reply_seconds": first - opened,
        "overlap_seconds": overlap,
        "stages": story.stages(events, fault_at, first),
        "changes": story.changes(events),
    }


def measure(rounds: int = 5, say: Callable[[str], object] = lambda _text: None) -> dict[str, Any]:
    """Every contender with every fault, ``rounds`` times, in turn."""
    watch = results.Watch()
    taken: dict[str, dict[str, list[dict[str, Any]]]] = {
        name: {fault: [] for fault in FAULTS} for name in (*PEERS, *OURS)
    }
    lost: list[str] = []
    hosts = (*WEB_HOSTS, peers.HOME, peers.STANDBY)
    with Lab(hosts, builds={**BUILDS, peers.HOME: "build-1", peers.STANDBY: "build-1"}) as lab:
        bureau = Bureau(lab, profiles.config(profiles.DEFAULT))
        bureau.up()
        for number in range(rounds):
            for fault in FAULTS:
                for name in (*PEERS, *OURS):
                    watch.look()
                    try:
                        found = _one(bureau, name, fault)
                    except LabError as error:  # a round that went wrong is told, and doesn't cost the others
                        why = bureau.cli("explain", check=False).out.strip() if name in OURS else ""
                        lost.append(f"{name}, {fault}, round {number + 1}: {str(error)[:300]}; {why[:1500]}")
                        say(f"LOST: {lost[-1]}")
                        _start_over(bureau)
                        continue
                    taken[name][fault].append(found)
                    say(f"round {number + 1}: {fault}, {name}: {found['outage_seconds']:.3f} s")
        figures = {"rounds": rounds, "timers": _timers(), "contenders": _summary(taken), "lost": lost}
    return results.write("outage", watch, figures)


def _one(bureau: Bureau, name: str, fault: str) -> dict[str, Any]:
    if name not in PEERS:
        return ours_fails(bureau, name, fault)
    with peers.Keepalived(bureau.lab, PEERS[name]):
        return peer_fails(bureau.lab, fault)


def _start_over(bureau: Bureau) -> None:
    """Bring everything to where a round begins, whatever happened before."""
    for host in bureau.lab.hosts.values():
        if not host.on:
            host.boot()
    for name in ("web", "web-backup", peers.HOME, peers.STANDBY):
        bureau.lab[name].run("systemctl reset-failed nginx; systemctl start nginx", check=False)
    bureau.monitor.run("systemctl reset-failed failover; systemctl restart failover", check=False, timeout=60)
    bureau.cli("ack", "web", "--why", "the round is begun anew", check=False)
    time.sleep(GRACE_SECONDS)
    if bureau.holder() != "web":
        bureau.cli("switch", "web", "--yes", timeout=60)


def _timers() -> dict[str, str]:
    kept = {
        name: f"VRRPv{t.version}, advert_int {t.advert_int}, script interval {t.script_interval}"
        for name, t in PEERS.items()
    }
    return {**kept, **profiles.timers()}


def _summary(taken: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, faults in taken.items():
        for fault, rounds in faults.items():
            one: dict[str, Any] = {"outage_seconds": results.spread(each["outage_seconds"] for each in rounds)}
            if name in OURS and rounds:
                for key in ("detected_seconds", "reply_seconds", "overlap_seconds"):
                    one[key] = results.spread(each[key] for each in rounds)
                one["stages"] = story.between([each["stages"] for each in rounds])
                one["changes"] = [each["changes"] for each in rounds]
            found.setdefault(name, {})[fault] = one
    for name, peer in OURS.items():
        for fault in FAULTS:
            mine, its = found[name][fault]["outage_seconds"], found[peer][fault]["outage_seconds"]
            found[name][fault]["ratio_to_peer"] = results.ratio(mine, its)
    return found


def sheets(data: dict[str, Any]) -> list[Sheet]:
    """The outages side by side, our time to the first reply, and where it goes."""
    contenders = data["contenders"]
    outages = Sheet("Outage that a visitor sees", ("", *FAULTS))
    for name in (*PEERS, *OURS):
        outages.add(name, *(shown(contenders[name][fault]["outage_seconds"]) for fault in FAULTS))
    for name, peer in OURS.items():
        outages.add(
            f"{name} / {peer.partition('(')[0].strip()}", *(times(contenders[name][f]["ratio_to_peer"]) for f in FAULTS)
        )
    for (name, fault), aim in AIMS.items():
        median = contenders[name][fault]["outage_seconds"]["median"]
        outages.notes.append(f"{name}, {fault}: aim {aim} s, {judged(median, aim)}.")
    outages.notes += [f"{name}: `{text}`." for name, text in data["timers"].items()]
    outages.notes += [f"Lost: {text}" for text in data["lost"]]
    replies = Sheet(
        "From our decision to the first good reply",
        ("", "fault", "detected after", "decision → reply", f"aim {AIM_REPLY} s"),
    )
    stages = Sheet(
        "Where our time goes, from the fault to the first good reply (medians)",
        ("until", *(f"{n}, {f}" for n in OURS for f in FAULTS)),
    )
    rows: dict[str, dict[str, str]] = {}
    for name in OURS:
        for fault in FAULTS:
            one = contenders[name][fault]
            if "reply_seconds" not in one:
                continue
            reply = one["reply_seconds"]
            replies.add(name, fault, shown(one["detected_seconds"]), shown(reply), judged(reply["median"], AIM_REPLY))
            for stage, figure in one["stages"].items():
                rows.setdefault(stage, {})[f"{name}, {fault}"] = f"{figure['median'] * 1000:.0f} ms"
    for stage, cells in rows.items():
        stages.add(stage, *(cells.get(column, "") for column in stages.columns[1:]))
    return [outages, replies, stages]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.outage", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=5)
    console = Console(width=results.WIDTH)
    data = measure(parser.parse_args().rounds, console.print)
    for sheet in sheets(data):
        sheet.show(console)


if __name__ == "__main__":
    main()
