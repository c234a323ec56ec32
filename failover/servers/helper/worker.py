"""Carries out one request, in the process that is there for it."""

import json
import traceback
from typing import Optional

from .arguments import ASKS, CHANGES, checked
from .errors import Answer, Failed, Refused, Token
from .gate import Gate
from .places import MAX_LINE_BYTES, Places
from .words import plain
from .work import Work, write_line


class Job:
    """One request under way in a process of its own."""

    def __init__(self, request: Answer, is_change: bool, end: float) -> None:
        self.id, self.verb, self.is_change, self.end = request["id"], request["verb"], is_change, end
        self.token: Optional[Token] = (request["epoch"], request["run"]) if is_change else None
        self.request = request
        self.pid = self.fd = -1
        self.buffer = b""
        self.began = self.answered = self.overdue = False


def carry_out(places: Places, job: Job, pipe: int, memory: Optional[Token]) -> None:
    """Do what a request asks, in the process that is there for it, and say how it went."""
    args, token = job.request["args"], job.token
    label = "{} {}".format(job.verb, args.get("want", "")).strip() if job.is_change else job.verb
    told = f"{job.verb} {json.dumps(args, sort_keys=True)}"[:1000]
    gate = Gate(places)
    work: Optional[Work] = None
    try:
        work = Work(places, label, job.end, pipe, token)
        verb = checked(CHANGES if job.is_change else ASKS, job.verb, args)
        if token is not None:
            gate.enter(work, token, job.request["boot_id"], job.request["not_after"], memory)
            places.log("begins {} with token {}.{}".format(told, *token))
        message: Answer = {"result": verb.do(work, args)}
        if token is not None:
            places.log("did {} with token {}.{}".format(told, *token))
    except Refused as error:
        began = isinstance(error, Failed)
        message = {"error": {"kind": error.kind, "message": str(error), "began": began}}
        if error.result is not None:
            message["error"]["result"] = error.result
        if token is not None or error.kind in ("not-in-policy", "bad-policy"):
            places.log("{} {}: {} ({})".format("failed at" if began else "refused", told, error, error.kind))
    except Exception as error:  # noqa: BLE001 - a fault of ours is answered like any other, with what was touched by then
        began = work is not None and work.began
        places.log("fault in {}: {}".format(told, traceback.format_exc().replace("\n", " | ")))
        message = {"error": {"kind": "fault", "message": plain(error), "began": began}}
    gate.leave()
    if len(json.dumps(message)) > MAX_LINE_BYTES - 200:
        message = {
            "error": {"kind": "too-much-output", "message": "the answer doesn't fit a line", "began": job.is_change}
        }
    write_line(pipe, message)
    if token is not None and work is not None and "result" in message:
        gate.keep_copy(work, token)
        work.afterwards()
