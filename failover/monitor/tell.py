"""Which lines of the journal people are told, and how: a pure fold, so that a restart tells what was not told yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from failover.journal.run_view import DAEMON
from failover.model import Event, RunKind, format_span
from failover.notify.base import Message, Severity
from failover.recover.rows import tell

TOLD_KINDS = (
    "incident.opened",
    "incident.changed",
    "incident.closed",
    "run.opened",
    "run.waiting",
    "run.ended",
    "address.drift",
    "server.parked",
    "database.swapped",
    "database.reinstated",
    "database.parked",
    "config.refused",
    "automation.switched",
    "maintenance.begun",
)
_CHANGED = {"waiting": Severity.PAGE, "stuck": Severity.PAGE, "opened": Severity.PAGE, "recovered": Severity.WARNING}


def message_of(event: Event, run_kind: str | None) -> Message | None:
    """What people are told about an event, or None; ``run_kind`` is the kind of the event's run."""
    if run_kind == RunKind.AHEAD or (event.kind == "server.parked" and run_kind != RunKind.KEEP):
        return None  # copies are told by readiness; a recovery parks the server that it leaves, and tells that itself
    told = _told(event.kind, event.data, event.by, event.run)
    if told is None:
        return None
    severity, title, text, about = told
    return Message(event.site, f"{event.kind}/{event.at.isoformat()}", severity, title, text or title, about, event.at)


def _told(kind: str, data: Mapping[str, Any], by: str, run: int | None) -> tuple[Severity, str, str, str] | None:
    match kind:
        case "incident.opened":
            return _severity(data), _sentence(data), _how_to(data), _incident(data)
        case "incident.changed":
            least = _CHANGED.get(str(data["state"]), Severity.INFO)
            severity = least if _severity(data) is Severity.PAGE else max(least, Severity.WARNING, key=_rank)
            return severity, f"{data['about']} is {data['state']}: {data['reason']}", _how_to(data), _incident(data)
        case "incident.closed":
            return Severity.INFO, f"{data['about']} is over: {data['reason']}", "", _incident(data)
        case "run.opened" if RunKind(data["kind"]).moves:
            moves = f"{data['role']} moves from {data['old']} to {data['new']}"
            return Severity.WARNING, f"run {run} begins: {moves}", f"by {by}: {data['why']}", f"run {run}"
        case "run.waiting":
            text = f"{data['question']}\n\nAnswer with: failover confirm {run} {data['word']} --why '...'"
            return Severity.PAGE, f"run {run} waits for a person: {data['question']}", text, f"run {run}"
        case "run.ended" if data["state"] != "done":
            severity = Severity.PAGE if data["state"] == "stopped" else Severity.WARNING
            return (
                severity,
                f"run {run} {data['state']}: {data['reason']}",
                f"See: failover runs show {run}",
                f"run {run}",
            )
        case "run.ended":  # done
            took = format_span(float(data.get("seconds") or 0.0))
            return Severity.INFO, f"run {run} is done, in {took}", f"See: failover runs show {run}", f"run {run}"
        case "address.drift":
            return Severity.WARNING, f"address {data['address']} ({data['ip']}): {data['reason']}", "", ""
        case "server.parked" if "unit" in data:
            title = f"{data['server']} doesn't hold the role: {data['unit']} is kept from starting there"
            return Severity.INFO, title, "", ""
        case "server.parked":
            title = f"{data['server']} came back and is kept from answering for {data['address']}"
            return Severity.WARNING, title, "Move the role back with: failover switch ROLE", ""
        case "database.swapped" if data["loss_seconds"] > 0:
            lost, taken_at = format_span(float(data["loss_seconds"])), str(data["taken_at"])
            title = f"{data['name']} on {data['server']} serves the state of {taken_at[:16]} UTC: {lost} are lost"
            text = f"From the backup {data['backup']}. What {data['server']} had before is kept as {data['kept']}."
            return Severity.WARNING, title, text, f"run {run}"
        case "database.reinstated":
            lost, since = format_span(float(data["loss_seconds"])), str(data["since"])
            title = f"{data['name']} on {data['server']} serves again as it was {since[:16]} UTC: {lost} are lost"
            return Severity.WARNING, title, "Whatever else was saved meanwhile stays where it was.", f"run {run}"
        case "database.parked":
            title = f"{data['name']} on {data['server']} came back and is read-only now"
            return Severity.WARNING, title, _newer(data), ""
        case "config.refused":
            problems = [str(problem) for problem in data["problems"]]
            return Severity.WARNING, f"the new config is refused: {problems[0]}", "\n".join(problems), ""
        case "automation.switched":
            return Severity.WARNING, f"automation is {'on' if data['on'] else 'off'} ({by}: {data['why']})", "", ""
        case "maintenance.begun" if by != DAEMON:
            title = f"maintenance of {data['about']} until {data['until']} ({by}: {data['why']})"
            return Severity.INFO, title, "", ""
    return None


def _newer(data: Mapping[str, Any]) -> str:
    if data.get("problem"):
        return f"What it has besides can't be told: {data['problem']}"
    if data.get("against") is None:
        return "Nothing is known of what it has besides."
    if not data["newer_rows"]:
        return f"No table has more or fewer rows than {data['against']}, which serves in its place."
    return (
        f"Against {data['against']}, which serves in its place: {tell(data['newer_rows'])}. Nothing is merged or "
        "dropped: people decide what of it is still wanted."
    )


def unwritten(kind: str, site: str, data: Mapping[str, Any], error: str, at: datetime) -> Message:
    """What people are told when an event can't even be written: no silence because of a full disk."""
    told = _told(kind, data, DAEMON, None)
    severity, title = (told[0], told[1]) if told else (Severity.WARNING, f"{kind} could not be journaled")
    key = f"unwritten/{kind}/{data.get('about', data.get('plan', ''))}/{at:%Y-%m-%dT%H}"
    return Message(site, key, severity, title, f"{title}\n\nThe journal can't be written: {error}", at=at)


def _rank(severity: Severity) -> int:
    return severity.rank


def _severity(data: Mapping[str, Any]) -> Severity:
    text = str(data.get("severity", "warning"))
    return Severity(text) if text in set(Severity) else Severity.WARNING


def _incident(data: Mapping[str, Any]) -> str:
    return f"incident {data['incident']}"


def _sentence(data: Mapping[str, Any]) -> str:
    about, reason = str(data["about"]), str(data["reason"])
    return reason if reason.startswith(about) else f"{about}: {reason}"


def _how_to(data: Mapping[str, Any]) -> str:
    return f"{_sentence(data)}\n\nIncident {data['incident']}. See: failover status, failover explain"
