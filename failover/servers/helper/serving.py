"""Serving: one process that never waits for anything but its pipes."""

import collections
import json
import os
import select
import signal
import sys
from typing import Any, Dict, Optional

from .arguments import SLOW_ASKS
from .clock import boot_id, boottime
from .errors import Answer, Refused, Token
from .facts import own_sha256, pulse
from .gate import Gate
from .places import MAX_LINE_BYTES, VERSION, Places
from .policy import Policy
from .processes import PR_SET_PDEATHSIG, end_self, end_work, libc
from .values import between, is_int, parse_json, text
from .words import plain
from .work import LONGEST_SECONDS
from .worker import Job, carry_out

PROTOCOL = 1
MAX_ASKS = 16
MAX_CHANGES = 8
MAX_OUTBOX_BYTES = 8 << 20
ASK_SECONDS = 30.0
REQUEST_KEYS = {"id", "verb", "args", "epoch", "run", "boot_id", "not_after", "deadline_seconds"}


class Helper:
    """Speaks with the monitor. Everything that could hang is done by the processes that it forks."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._jobs: Dict[int, Job] = {}
        self._outbox: Any = collections.deque()
        self._outbox_bytes = 0
        self._memory: Optional[Token] = None

    def serve(self) -> int:
        """Until stdin ends."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        os.set_blocking(1, False)
        self._say({"hello": self._hello()})
        buffer, skipping = b"", False
        while True:
            poll = select.poll()
            poll.register(0, select.POLLIN)
            for fd in self._jobs:
                poll.register(fd, select.POLLIN)
            if self._outbox:
                poll.register(1, select.POLLOUT)
            ends = [job.end + (1.0 if job.overdue else 0.0) for job in self._jobs.values() if not job.answered]
            ready = poll.poll(max(0.0, min(ends) - boottime()) * 1000 + 1 if ends else None)
            for fd, _ in ready:
                if fd in self._jobs:
                    self._hear(self._jobs[fd])
            self._keep_time()
            if any(fd == 1 for fd, _ in ready):
                self._flush()
            if any(fd == 0 for fd, _ in ready):
                data = os.read(0, 65536)
                if not data:
                    return self._end()
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    if skipping:
                        skipping = False
                    elif line.strip():
                        self._take(line)
                if len(buffer) > MAX_LINE_BYTES:
                    if not skipping:
                        self._refuse(None, "bad-request", f"a line of more than {MAX_LINE_BYTES} bytes")
                    buffer, skipping = b"", True

    def _hello(self) -> Answer:
        try:
            policy: Optional[str] = Policy.read(self.places).sha256
        except Refused:
            policy = None
        return {
            "protocol": PROTOCOL,
            "version": VERSION,
            "sha256": own_sha256(),
            "policy_sha256": policy,
            "python": sys.version.split()[0],
            "boot_id": boot_id(),
            "boottime": boottime(),
        }

    # requests -------------------------------------------------------------------------------------------------------

    def _take(self, line: bytes) -> None:
        number: Any = None
        try:
            if len(line) > MAX_LINE_BYTES:
                raise Refused("bad-request", f"a line of more than {MAX_LINE_BYTES} bytes")
            request = parse_json(line)
            if not isinstance(request, dict):
                raise Refused("bad-request", "a request is an object")
            if is_int(request.get("id")) or text(100)(request.get("id")):
                number = request["id"]
            self._start(self._understood(request))
        except Refused as error:
            self._refuse(number, error.kind, str(error))
        except (ValueError, RecursionError) as error:
            self._refuse(number, "bad-request", f"no JSON that can be read: {plain(error)[:200]}")
        except OSError as error:
            self._refuse(number, "busy", f"no process could be started: {plain(error)}")

    def _understood(self, request: Answer) -> Job:
        unknown = sorted(set(request) - REQUEST_KEYS)
        if unknown:
            raise Refused("bad-request", f"unknown key {unknown[0][:100]!r}")
        if not (is_int(request.get("id")) or text(100)(request.get("id"))):
            raise Refused("bad-request", "a request needs an id, a number or a short string")
        if any(job.id == request["id"] for job in self._jobs.values() if not job.answered):
            raise Refused("bad-request", "a request of this id is under way")
        if not text(50)(request.get("verb")) or not isinstance(request.setdefault("args", {}), dict):
            raise Refused("bad-request", "a request needs a verb, and its args are an object")
        is_change = bool(set(request) & {"epoch", "run", "boot_id", "not_after"})
        if is_change and not (
            is_int(request.get("epoch"))
            and is_int(request.get("run"))
            and text(100)(request.get("boot_id"))
            and between(0, 1e12)(request.get("not_after"))
            and "deadline_seconds" in request
        ):
            raise Refused("bad-request", "a change needs epoch, run, boot_id, not_after and deadline_seconds")
        seconds = request.setdefault("deadline_seconds", SLOW_ASKS.get(request["verb"], ASK_SECONDS))
        if not between(0, 1e9)(seconds):
            raise Refused("bad-request", f"{seconds!r} is no deadline")
        end = boottime() + min(seconds, LONGEST_SECONDS)
        return Job(request, is_change, min(end, request["not_after"]) if is_change else end)

    def _start(self, job: Job) -> None:
        if job.verb == "facts" and job.request["args"] == {"sections": []} and not job.is_change:
            self._say({"id": job.id, "result": pulse()})  # a sign of life, given even when nothing can be forked
            return
        under_way = sum(1 for other in self._jobs.values() if other.is_change == job.is_change)
        if under_way >= (MAX_CHANGES if job.is_change else MAX_ASKS):
            raise Refused("busy", f"{under_way} requests are under way already")
        job.fd, pipe = os.pipe()
        try:
            job.pid = os.fork()
        except OSError:
            os.close(job.fd)
            os.close(pipe)
            raise
        if job.pid == 0:
            self._become_worker(job, pipe)
        os.close(pipe)
        self._jobs[job.fd] = job

    def _become_worker(self, job: Job, pipe: int) -> None:
        try:
            os.setsid()
            # Our own clock too: whoever keeps the time for us may be stopped by a full pipe or a signal, or killed.
            signal.signal(signal.SIGALRM, end_self)
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGALRM, 0, 0, 0)
            for fd in list(self._jobs) + [job.fd]:
                os.close(fd)
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            for number in (signal.SIGTERM, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, max(0.001, job.end - boottime() + 0.05))
            os.umask(0o022)
            carry_out(self.places, job, pipe, self._memory)
        finally:
            os._exit(0)

    # answers --------------------------------------------------------------------------------------------------------

    def _hear(self, job: Job) -> None:
        data = os.read(job.fd, 65536)
        if not data:
            self._gone(job)
            return
        *lines, job.buffer = (job.buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line.decode())
            if "began" in message:
                job.began = True
                self._memory = max(self._memory or (0, 0), job.token or (0, 0))
            elif not job.answered and not job.overdue:
                job.answered = "progress" not in message
                if "progress" not in message or self._outbox_bytes < MAX_LINE_BYTES:
                    self._say(dict(message, id=job.id))

    def _gone(self, job: Job) -> None:
        os.close(job.fd)
        del self._jobs[job.fd]
        os.waitpid(job.pid, 0)
        if job.answered:
            return
        if job.overdue or boottime() >= job.end:  # it keeps time itself, and may be a moment ahead of us
            self._answer_overdue(job, "its work was ended")
            return
        newest = Gate(self.places).newest()
        if job.token and newest and job.token < newest:
            kind, sentence = "superseded", "a newer token, {}.{}, ended it".format(*newest)
        else:
            kind, sentence = "killed", "its process was killed"
        self._refuse(job.id, kind, f"{job.verb}: {sentence}", began=job.began)

    def _keep_time(self) -> None:
        for job in list(self._jobs.values()):
            if boottime() < job.end or job.answered and boottime() < job.end + 1:
                continue
            if not job.overdue:
                job.overdue = True
                if job.is_change:
                    self.places.log("ends {} of token {}.{}: its time is over".format(job.verb, *(job.token or (0, 0))))
                end_work(job.pid)
            elif not job.answered and boottime() >= job.end + 1.0:
                self._answer_overdue(job, "its process can't be killed yet")

    def _answer_overdue(self, job: Job, how: str) -> None:
        job.answered = True
        sentence = "{} wasn't done within {:.3g} s; {}".format(job.verb, job.request["deadline_seconds"], how)
        self._refuse(job.id, "past-deadline", sentence, began=job.began)

    def _refuse(self, number: Any, kind: str, sentence: str, began: bool = False) -> None:
        self._say({"id": number, "error": {"kind": kind, "message": sentence, "began": began}})

    def _say(self, message: Answer) -> None:
        data = json.dumps(message).encode() + b"\n"
        self._outbox.append(data)
        self._outbox_bytes += len(data)
        self._flush()
        if self._outbox_bytes > MAX_OUTBOX_BYTES:
            self._end()  # nobody reads: the session is of no use to anyone

    def _flush(self) -> None:
        while self._outbox:
            try:
                sent = os.write(1, self._outbox[0])
            except BlockingIOError:
                return
            except OSError:
                self._end()
                return
            self._outbox_bytes -= sent
            if sent == len(self._outbox[0]):
                self._outbox.popleft()
            else:
                self._outbox[0] = self._outbox[0][sent:]

    def _end(self) -> int:
        for job in self._jobs.values():
            if job.began and not job.answered:
                self.places.log(f"ends {job.verb}: the session is over")
            end_work(job.pid)
        os._exit(0)
