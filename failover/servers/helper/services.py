"""``service``: a unit runs, stands still or starts anew, and nothing that another process lives by is touched for it.

What a unit needs before it may start is in the policy (``services``), so that it holds for every start, whoever asks:
its ports, mounts and pid files, and a command of the site's own that says whether the software may start now.
"""

import os
import re
import shutil
import time
from typing import Any, Dict, List, Tuple

from . import pid_files, ports
from .core import (
    Answer,
    Args,
    Failed,
    Refused,
    Verb,
    Work,
    among,
    between,
    boottime,
    flag,
    plain,
    start_of,
    text,
    units_state,
)
from .masking import masked
from .parking import full, park, parked, settings, unpark

GUARD_UNIT = "failover-guard.service"
COMMAND_SECONDS = 60.0
LOOK_SECONDS = 0.05
ASK_SECONDS = 0.5
"""Between two questions to systemd while a unit is watched; in between a look at its main process is enough."""
CANCEL_SECONDS = 0.6
"""Before its time is over a job is taken back: systemd would carry it out though whoever asked for it is gone."""
_STANDS = ("inactive", "failed")


def ask_service(work: Work, args: Args) -> Answer:
    """How a unit stands, in systemd's words; with ``fit``, also what would be refused if it were started now."""
    if args["unit"] == GUARD_UNIT:
        return units_state(work, [GUARD_UNIT])[GUARD_UNIT]
    unit = work.policy.unit(args["unit"])
    needs = _needs(work, unit)
    state = _state(work, unit, needs)
    if args.get("fit"):
        state["hindrances"] = [said for _, said in _hindrances(work, unit, state, needs)]
    return state


def change_service(work: Work, args: Args) -> Answer:
    """Have a unit run, stand still, or start anew."""
    unit, want = work.policy.unit(args["unit"]), args["want"]
    needs = _needs(work, unit)
    state = _state(work, unit, needs)
    if want == "stopped":
        return _stop(work, unit, state, needs, bool(args.get("kill")))
    if want == "restarted" and state["parked"]:
        raise Refused("unit-parked", f"{unit} isn't restarted: it is parked, for another server runs it")
    if want == "running" and _runs(state):
        if state["parked"]:
            work.begin()
            unpark(work.places, unit)
        return dict(state, parked=False if needs["parks"] else None, removed=[])
    return _start(work, unit, want, state, needs, float(args.get("stable_seconds", 0)))


def _needs(work: Work, unit: str) -> Answer:
    try:
        return settings(work.policy, unit)
    except (ValueError, TypeError, KeyError) as error:
        raise Refused("bad-policy", f"{work.places.policy}: services: {plain(error)}") from None


def _state(work: Work, unit: str, needs: Answer) -> Answer:
    state = units_state(work, [unit])[unit]
    state["parked"] = parked(work.places, unit, state) if needs["parks"] else None
    return state


def _runs(state: Answer) -> bool:
    return state["active"] == "active" and not state["job"]


# ---------------------------------------------------------------------------------------------------------------------
# stop


def _stop(work: Work, unit: str, state: Answer, needs: Answer, kill: bool) -> Answer:
    """Parked first, where only one server may run it, so that nothing starts it again meanwhile.

    With ``kill`` its processes aren't asked: what hangs doesn't hear (systemctl(1), kill).
    """
    stands = state["active"] in _STANDS and not state["job"]
    if stands and state["parked"] is not False:
        return state
    work.begin()
    problem = park(work, unit, state) if needs["parks"] else None
    if not stands:
        if kill:
            work.run(["systemctl", "kill", "--signal=KILL", "--", unit])
        stopped, said = order_unit(work, unit, "stop")
        if stopped["active"] not in _STANDS:
            raise _failure(work, unit, "stop", stopped, said, time.time())
    state = _state(work, unit, needs)
    if problem is not None:
        raise Failed("not-parked", f"{unit} stands still, and can't be kept from starting: {problem}", state)
    return state


# ---------------------------------------------------------------------------------------------------------------------
# start


def _start(work: Work, unit: str, want: str, state: Answer, needs: Answer, stable_seconds: float) -> Answer:
    hindrances = _hindrances(work, unit, state, needs)
    if hindrances:
        kind = hindrances[0][0]
        sentence = "{} isn't started: {}".format(unit, "; ".join(said for _, said in hindrances))
        raise Refused(kind, sentence, dict(state, ports=ports.held(needs["ports"], full(unit))))
    stale = [] if _runs(state) else [found for found in _left_behind(unit, state, needs) if found.owner is None]
    work.begin()
    if needs["parks"]:
        unpark(work.places, unit)
    removed = [pid_files.remove(work, found) for found in stale]
    order = "start" if want == "running" else "restart"
    since, reset = time.time(), state["active"] == "failed"
    if reset:
        # Whoever tried before may have used up its start limit; systemd doesn't always say so in its result.
        work.run(["systemctl", "reset-failed", "--", unit])
    now, said = order_unit(work, unit, order)
    if now["active"] != "active" and now["result"] == "start-limit-hit" and not reset:
        reset = True
        work.run(["systemctl", "reset-failed", "--", unit])
        now, said = order_unit(work, unit, order)
    if now["active"] != "active":
        raise _failure(work, unit, order, now, said, since, needs)
    if stable_seconds:
        _watch(work, unit, now, stable_seconds, since, needs)
    return dict(_state(work, unit, needs), removed=removed, reset=reset)


def _hindrances(work: Work, unit: str, state: Answer, needs: Answer) -> List[Tuple[str, str]]:
    """Everything that speaks against a start now, as kind and sentence; looked at without any effect."""
    if state["load"] == "masked":
        where = state["fragment"] or "systemd"
        return [("unit-masked", f"it is masked by {where}; somebody wanted that, and a person has to unmask it")]
    if state["load"] != "loaded":
        return [("no-such-unit" if state["load"] == "not-found" else f"unit-{state['load']}", f"it is {state['load']}")]
    found = []
    for path in needs["mounts"]:
        if not os.path.ismount(path):
            there = "nothing is mounted there" if os.path.isdir(path) else "there is no such folder"
            found.append(("mount-missing", f"it needs {path}, and {there}: it would start empty"))
    found += [("port-in-use", ports.said(entry)) for entry in ports.held(needs["ports"], full(unit))]
    if not _runs(state):
        for left in _left_behind(unit, state, needs):
            if left.owner is not None:
                found.append(("pid-file-held", f"{left.path} belongs to {left.owner}, which lives"))
    if needs["command"] is not None and not found:
        found += _unfit(work, needs["command"])
    return found


def _unfit(work: Work, name: str) -> List[Tuple[str, str]]:
    """What the site's own command says against a start: its exit code counts, for example a schema that is newer."""
    argv = work.policy.commands[name]
    try:
        code, said = work.run(argv, within=COMMAND_SECONDS)
    except OSError as error:
        return [("not-fit", f"{name} can't be run: {plain(error)}")]
    except Refused as error:
        return [("not-fit", str(error))]
    if code == 0:
        return []
    lines = masked(said).strip().splitlines()[-3:]
    return [("not-fit", "{} says no (exit {}): {}".format(name, code, " / ".join(lines)[:500] or "without a word"))]


def _left_behind(unit: str, state: Answer, needs: Answer) -> List[pid_files.Look]:
    looks = [pid_files.look(path, full(unit), programs_of(state)) for path in needs["pid_files"]]
    return [found for found in looks if found is not None]


def programs_of(state: Answer) -> List[str]:
    """What the unit's processes run: its ExecStart, and where that is a script, what runs the script."""
    found = []
    for path in re.findall(r"\bpath=(\S+)", state["exec"] or ""):
        found.append(os.path.realpath(path))
        try:
            with open(path, "rb") as file:
                head = file.readline(200)
        except OSError:
            continue
        if head[:2] == b"#!":
            words = head[2:].decode("utf-8", "replace").split()
            named = words[1] if len(words) > 1 and os.path.basename(words[0]) == "env" else (words or [""])[0]
            found.append(os.path.realpath(shutil.which(named) or named))
    return found


def _watch(work: Work, unit: str, state: Answer, seconds: float, since: float, needs: Answer) -> None:
    """See whether it stays: the same main process, active, without a restart, for so long."""
    pid, end = state["main_pid"], boottime() + seconds
    born = start_of(pid) if pid is not None else None
    asked = boottime()
    while True:
        over = boottime() >= end
        lives = pid is None or start_of(pid) == born
        if over or not lives or boottime() - asked >= ASK_SECONDS:
            asked, now = boottime(), units_state(work, [unit])[unit]
            if now["active"] != "active" or now["main_pid"] != pid:
                stayed = f"it stayed for {boottime() - (end - seconds):.1f} s only"
                raise _failure(work, unit, "start", now, stayed, since, needs, "not-stable")
        if over:
            return
        if work.end - boottime() < 0.3:
            raise Failed("timeout", f"{unit} runs, and couldn't be watched for {seconds:g} s: its time is over", state)
        time.sleep(LOOK_SECONDS)


def order_unit(work: Work, unit: str, order: str) -> Tuple[Answer, str]:
    """Order something and wait until it has happened or can't. Nothing of it goes on past the deadline.

    systemctl waits for systemd's own word (its ``JobRemoved`` signal): to ask again and again would take from a program
    the processor that it starts with.
    """
    work.in_time()
    said = _ordered(work, unit, order)
    pause = 0.01
    while True:
        state = units_state(work, [unit])[unit]
        settled = state["active"] not in ("activating", "deactivating", "reloading") or state["sub"] == "auto-restart"
        if settled and not state["job"]:
            return state, said
        if work.end - boottime() < CANCEL_SECONDS:
            if state["job"]:
                work.run(["systemctl", "cancel", "--", state["job"].split()[0]])
            sentence = "{} of {} wasn't done in time; it is {} ({})".format(order, unit, state["active"], state["sub"])
            raise Failed("timeout", sentence, units_state(work, [unit])[unit])
        time.sleep(min(pause, work.left()))
        pause = min(pause * 1.5, 0.1)


def _ordered(work: Work, unit: str, order: str) -> str:
    """What systemctl says once the order is carried out or refused; nothing where just time to cancel it is left."""
    within = max(0.01, work.end - boottime() - CANCEL_SECONDS)
    try:
        return work.run(["systemctl", "--no-ask-password", order, "--", unit], within=within)[1]
    except Refused as error:
        if error.kind != "timeout":
            raise
        return ""  # it would only have gone on waiting: the order is systemd's by now


def _failure(
    work: Work, unit: str, order: str, state: Answer, said: str, since: float, needs: Any = None, kind: str = ""
) -> Failed:
    """What went wrong, with the unit's own last words and who has its port."""
    tail = journal_tail(work, unit, since)
    wanted = list((needs or {}).get("ports", [])) + ports.complained_of(tail)
    holders = ports.held(dict.fromkeys(wanted), full(unit))
    answer: Dict[str, Any] = dict(state, journal=tail, ports=holders)
    sentence = "{} of {} ended {} ({})".format(order, unit, state["active"], state["result"] or "no result")
    more = [said.strip()[:200]] * bool(said.strip()) + [ports.said(entry) for entry in holders]
    if tail:
        more.append(f"its journal says: {' / '.join(tail[-3:])}")
    return Failed(kind or order + "-failed", "; ".join([sentence] + more), answer)


def journal_tail(work: Work, unit: str, since: float) -> List[str]:
    """The unit's last words since that moment, without what looks like a password."""
    argv = ["journalctl", "-q", "-u", unit, "-n", "12", "-o", "cat", "--no-pager", f"--since=@{int(since) - 1}"]
    for pause in (0.0, 0.2):  # journald writes a moment after
        time.sleep(min(pause, work.left()))
        try:
            _, said = work.run(argv, within=2)
        except (OSError, Refused):
            return []
        if said.strip():
            return [masked(line)[:300] for line in said.splitlines()[-12:]]
    return []


ASKS = {"service": Verb(ask_service, {"unit": text(200)}, {"fit": flag})}
CHANGES = {
    "service": Verb(
        change_service,
        {"unit": text(200), "want": among("running", "stopped", "restarted")},
        {"stable_seconds": between(0, 600), "kill": flag},
    )
}
