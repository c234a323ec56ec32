"""Errors as problem details (RFC 9457): what went wrong in a sentence, and a type that programs can tell apart."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from failover.errors import (
    Busy,
    ConfigError,
    FailoverError,
    JournalError,
    NotAllowed,
    NotFound,
    RunError,
    ServerError,
)

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[FailoverError], int, str], ...] = (
    (Busy, 409, "busy"),
    (NotFound, 404, "not-found"),
    (NotAllowed, 403, "not-allowed"),
    (ConfigError, 422, "config"),
    (JournalError, 503, "journal"),
    (RunError, 409, "run"),
    (ServerError, 502, "server"),
    (FailoverError, 500, "failed"),
)


class Problem(Exception):
    """A request that can't be answered as asked; raised by the API's own code."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail


def problem(status: int, kind: str, detail: str, more: Mapping[str, Any] | None = None) -> JSONResponse:
    """The answer: ``type`` is ``about:blank#KIND``, as there is no page to point at."""
    content = {"type": f"about:blank#{kind}", "status": status, "detail": detail, **(more or {})}
    return JSONResponse(content, status, media_type="application/problem+json")


async def on_problem(_request: Request, error: Exception) -> Response:
    """For :class:`Problem`."""
    assert isinstance(error, Problem)  # noqa: S101 - how starlette's table is typed
    return problem(error.status, error.kind, error.detail)


async def on_invalid(_request: Request, error: Exception) -> Response:
    """For bodies that don't fit: every mistake at once."""
    assert isinstance(error, ValidationError)  # noqa: S101 - as above
    mistakes = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors(include_url=False)]
    return problem(422, "invalid", "; ".join(mistakes), {"mistakes": mistakes})


async def on_failover_error(_request: Request, error: Exception) -> Response:
    """For our own errors, whose sentences say it all."""
    for kind, status, name in STATUS:
        if isinstance(error, kind):
            more: dict[str, Any] = {"run": error.run} if isinstance(error, Busy) else {}
            if isinstance(error, ConfigError):
                more["problems"] = list(error.problems)
            return problem(status, name, str(error), more)
    raise error


async def on_http(_request: Request, error: Exception) -> Response:
    """For starlette's own: unknown paths, wrong methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    answer = problem(error.status_code, "http", error.detail)
    answer.headers.update(error.headers or {})
    return answer


async def on_bug(request: Request, error: Exception) -> Response:
    """For everything else: the journal of the system gets the traceback, the caller a sentence."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "bug", f"this is a bug of failover: {type(error).__name__}; its log says more")


HANDLERS: Mapping[Any, Any] = {
    Problem: on_problem,
    ValidationError: on_invalid,
    FailoverError: on_failover_error,
    HTTPException: on_http,
    Exception: on_bug,
}
