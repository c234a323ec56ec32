"""How times and journal lines read on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

COLOURS = {
    "up": "green", "ok": "green", "done": "green", "ready": "green", "reachable": "green",
    "suspect": "yellow", "unknown": "yellow", "waiting": "yellow", "running": "cyan", "undone": "yellow",
    "ready with loss": "yellow", "not ready": "red", "not asked yet": "yellow", "stops": "red", "loss": "yellow",
    "down": "red", "stopped": "red", "missing": "red", "twice": "red", "elsewhere": "red",
    "unreachable": "red", "failed": "red", "refused": "red", "aborted": "yellow",
}  # fmt: skip


def coloured(word: str) -> str:
    """A state with its colour; click leaves colours out where no terminal is."""
    return click.style(word, fg=COLOURS.get(word))


def moment(text: str | None) -> datetime | None:
    """A time of the API."""
    return datetime.fromisoformat(text) if text else None


def local(text: str | None) -> str:
    """A time as people here read it."""
    at = moment(text)
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def ago(text: str | None) -> str:
    """How long ago, in one unit."""
    at = moment(text)
    if at is None:
        return "never"
    seconds = max(0, int((datetime.now(UTC) - at).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def span(seconds: float | None) -> str:
    """A short span: ``31 ms``, ``3.26 s``, ``2 min 5 s``."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def size(count: float | None) -> str:
    """``19.7 MB``, in powers of a thousand."""
    if count is None:
        return "-"
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def sentence(event: Mapping[str, Any]) -> str | None:
    """What an event of a run says to somebody who watches it, or None when it says nothing new."""
    data: Mapping[str, Any] = event["data"]
    match event["kind"]:
        case "run.opened":
            return f"run {event['run']}: {data['kind']} {data['role']} from {data['old']} to {data['new']}"
        case "step.started":
            return f"  {data['step']}. {data['title']}"
        case "change.intended":
            return f"     {data['says']}"
        case "change.outcome":
            return None if data["result"] == "ok" else f"     {coloured(data['result'])}: {data['sentence']}"
        case "step.done":
            return f"     {coloured('done')} in {span(data.get('seconds'))}"
        case "run.noted":
            return f"     note: {data['text']}"
        case "run.waiting":
            return (
                f"  {coloured('waiting')}: {data['question']}  (failover confirm {event['run']} {data['word']} --why …)"
            )
        case "run.word":
            return f"     {event['by']} says {data['word']}: {data['why']}"
        case "role.moved" if open_seconds := data.get("commit_within_seconds"):
            until = (moment(event["at"]) or datetime.now(UTC)) + timedelta(seconds=open_seconds)
            back = f"until {local(until.isoformat())[11:16]} `failover rollback {data['role']} --why …` moves it back"
            return f"  {data['role']} is on {data['to']} now; {back}"
        case "run.resumed":
            return f"  resumed: {data['why']}"
        case "run.ended":
            said = f": {data['reason']}" if data["reason"] else ""
            return f"run {event['run']} {coloured(data['state'])} after {span(data.get('seconds'))}{said}"
    return None
