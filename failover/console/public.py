"""What monitoring reads over loopback: ``/metrics``, ``/healthz``, ``/readyz``. Nothing there changes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from failover.console.problem import HANDLERS, Problem

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def public_app(
    registry: CollectorRegistry, not_ready: Callable[[], Sequence[str]], threads: Executor, *, version: str
) -> Starlette:
    """The ASGI application for loopback; ``not_ready`` lists the reasons why this monitor can't do its work now."""

    async def metrics(request: Request) -> Response:
        _check_host(request)
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(threads, lambda: encode(registry))
        return Response(text, headers={"Content-Type": kind})

    async def healthz(request: Request) -> Response:
        _check_host(request)
        return PlainTextResponse(f"ok {version}\n")

    async def readyz(request: Request) -> Response:
        _check_host(request)
        reasons = list(not_ready())
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    routes = [Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]
    return Starlette(routes=routes, exception_handlers=HANDLERS)


def _check_host(request: Request) -> None:
    """Only loopback's own names: a page in somebody's browser can rebind its name to 127.0.0.1, but not change Host."""
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name not in LOOPBACK_NAMES:
        raise Problem(421, "wrong-host", f"Host {host!r} is not a name of loopback")
