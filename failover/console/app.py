"""The API under ``/api/v1``: a table of routes, each a few lines that hand a checked request to the desk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import datetime
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from failover.console import desk as forms
from failover.console.desk import Body, Desk, Person
from failover.console.once import Once
from failover.console.problem import HANDLERS, Problem

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 65_536
MAX_LIMIT = 1_000
MAX_MAINTENANCE_SECONDS = 7 * 86_400.0
T = TypeVar("T")
B = TypeVar("B", bound=Body)


class Api:
    """Carries requests to the desk, in threads of its own, so that a slow answer holds up no check."""

    def __init__(self, desk: Desk, threads: Executor) -> None:
        self._desk = desk
        self._threads = threads
        self._once = Once()

    def app(self) -> Starlette:
        """The ASGI application for the UNIX socket."""
        return Starlette(routes=self.routes(), exception_handlers=HANDLERS)

    def routes(self) -> list[BaseRoute]:
        """Every route; a test asks each of them what it takes."""
        desk = self._desk
        get, post = self._get, self._post

        def number(request: Request) -> int:
            return int(request.path_params["number"])

        return [
            get("/status", lambda r: desk.status(_site(r))),
            get("/runs", lambda r: {"runs": desk.runs(_site(r), _whole(r, "limit", 20))}),
            get("/runs/{number:int}", lambda r: desk.run(_site(r), number(r))),
            get("/ready", lambda r: desk.ready(_site(r), r.query_params.get("plan"))),
            get("/backups", lambda r: desk.backups(_site(r), r.query_params.get("set"))),
            get("/events", self._events),
            get("/explain", lambda r: desk.explain(_site(r), _moment(r, "at"))),
            get("/audit/head", lambda _r: desk.audit_head()),
            post("/runs", forms.StartRun, self._start),
            post(
                "/runs/{number:int}/resume", forms.Why, lambda r, b, p: desk.resume(b.site, number(r), p.cause(b.why))
            ),
            post("/runs/{number:int}/abort", forms.Why, lambda r, b, p: desk.abort(b.site, number(r), p.cause(b.why))),
            post(
                "/runs/{number:int}/mark-done",
                forms.MarkDone,
                lambda r, b, p: desk.mark_done(b.site, number(r), b.step, p.cause(b.why)),
            ),
            post(
                "/runs/{number:int}/word",
                forms.GiveWord,
                lambda r, b, p: desk.word(b.site, number(r), b.word, p.cause(b.why)),
            ),
            post(
                "/roles/{role}/commit",
                forms.Why,
                lambda r, b, p: desk.commit(b.site, str(r.path_params["role"]), p.cause(b.why)),
            ),
            post(
                "/plans/{plan}/ack",
                forms.Why,
                lambda r, b, p: desk.acknowledge(b.site, str(r.path_params["plan"]), p.cause(b.why)),
            ),
            post("/backups", forms.BeginBackup, self._begin_backup),
            post("/maintenance/begin", forms.BeginMaintenance, self._begin_maintenance),
            post(
                "/maintenance/end",
                forms.EndMaintenance,
                lambda _r, b, p: desk.end_maintenance(b.site, b.about, p.cause(b.why)),
            ),
            post(
                "/automation",
                forms.SwitchAutomation,
                lambda _r, b, p: desk.switch_automation(b.site, b.on, p.cause(b.why)),
            ),
            post("/reload", Body, lambda _r, _b, p: desk.reload(p.cause("asked to reload"))),
            post("/audit/verify", Body, lambda _r, _b, _p: desk.audit_verify()),
            post("/notify/test", forms.TestNotify, lambda _r, b, p: desk.notify_test(b.channel, p)),
        ]

    def _events(self, request: Request) -> Mapping[str, Any]:
        run = request.query_params.get("run")
        events = self._desk.events(
            _site(request),
            run=_whole(request, "run", 0) if run is not None else None,
            after=_whole(request, "after", 0, most=2**62),
            limit=_whole(request, "limit", 200),
        )
        return {"events": events}

    def _start(self, _request: Request, body: forms.StartRun, person: Person) -> Mapping[str, Any]:
        if body.force is not None and body.verb != "recover":
            raise Problem(422, "invalid", "force: only recover can be forced")
        if body.verb != "rollback" and (body.why is not None or body.accept_loss):
            raise Problem(422, "invalid", f"{'why' if body.why is not None else 'accept_loss'}: only a rollback has it")
        if body.dry:
            return self._desk.dry(body.site, body.role, body.verb)
        if body.verb == "rollback" and body.why is None:
            raise Problem(422, "invalid", "why: a rollback needs its reason")
        return self._desk.start(
            body.site, body.role, body.verb, person, force=body.force, why=body.why, accept_loss=body.accept_loss
        )

    def _begin_backup(self, _request: Request, body: forms.BeginBackup, person: Person) -> Mapping[str, Any]:
        if (body.verb == "restore") != (body.into is not None):
            raise Problem(422, "invalid", "into: only a restore has it, and it needs it")
        if body.verb == "now" and (body.id is not None or body.server is not None):
            raise Problem(422, "invalid", "id: a backup that is to be made has none yet; the set says where it lies")
        return self._desk.begin_backup(
            body.site, body.verb, body.set, person, backup=body.id, server=body.server, into=body.into
        )

    def _begin_maintenance(self, _request: Request, body: forms.BeginMaintenance, person: Person) -> Mapping[str, Any]:
        if not 60 <= body.lasts <= MAX_MAINTENANCE_SECONDS:
            raise Problem(422, "invalid", f"lasts: from 1m to 7d, not {body.lasts:g} s: what is forgotten must end")
        return self._desk.begin_maintenance(body.site, body.about, body.lasts, person.cause(body.why))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _get(self, path: str, answer: Callable[[Request], Any]) -> Route:
        async def endpoint(request: Request) -> Response:
            _person(request)  # whoever the kernel can't name is not answered
            return JSONResponse(await self._in_thread(lambda: answer(request)), headers={"Cache-Control": "no-store"})

        return Route("/api/v1" + path, endpoint, methods=["GET"], name=path)

    def _post(self, path: str, form: type[B], act: Callable[[Request, B, Person], Any]) -> Route:
        async def endpoint(request: Request) -> Response:
            person = _person(request)
            raw = await _body(request)
            body = form.model_validate_json(raw or b"{}")
            log.info("%s asks %s %s", person, request.url.path, body.model_dump_json(exclude_none=True))

            async def answer() -> Response:
                return JSONResponse(await self._in_thread(lambda: act(request, body, person)))

            fingerprint = request.url.path.encode() + b"\n" + raw
            return await self._once.answer(str(person), request.headers.get("idempotency-key"), fingerprint, answer)

        return Route("/api/v1" + path, endpoint, methods=["POST"], name=path)


def _person(request: Request) -> Person:
    person = getattr(request.state, "person", None)
    if not isinstance(person, Person):
        raise Problem(401, "not-known", "the API answers on its UNIX socket only, where the kernel says who asks")
    return person


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "not-json", f"Content-Type must be application/json, not {kind or 'missing'}")
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise Problem(413, "too-large", f"a body has at most {MAX_BODY_BYTES} bytes")
    return raw


def _site(request: Request) -> str | None:
    return request.query_params.get("site")


def _whole(request: Request, name: str, default: int, most: int = MAX_LIMIT) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise Problem(422, "invalid", f"{name}: {text!r} is not a whole number up to {most}")
    return int(text)


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Problem(
            422, "invalid", f"{name}: {text!r} is not a time; write it as 2026-11-24T03:00:00+08:00"
        ) from error
    if moment.tzinfo is None:
        raise Problem(422, "invalid", f"{name}: {text!r} has no offset; add Z or +08:00")
    return moment
