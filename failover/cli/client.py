"""The way from the command line to the daemon: HTTP over its UNIX socket, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import click

from failover.cli.main import BAD_CONFIG, BUG, BUSY, CANT_WRITE, FAILED, NOT_ALLOWED, UNREACHABLE
from failover.errors import FailoverError

Json = dict[str, Any]
MAX_ANSWER_BYTES = 16 * 1024 * 1024
_KINDS = {"busy": BUSY, "config": BAD_CONFIG}
_CODES = {401: NOT_ALLOWED, 403: NOT_ALLOWED, 503: CANT_WRITE, 500: BUG}


class DaemonUnreachable(FailoverError):
    """Nobody answers on the socket."""

    exit_code = UNREACHABLE


class Answered(FailoverError):
    """The daemon said no; ``problem`` is what it said, ``exit_code`` what scripts read."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or f"the daemon answered HTTP {status}"))
        self.status = status
        self.problem = dict(problem)
        self.kind = str(problem.get("type", "")).rpartition("#")[2]
        self.exit_code = _KINDS.get(self.kind) or _CODES.get(status, FAILED)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Asks the daemon. Every POST carries a key of its own, so that one that is sent twice acts once."""

    def __init__(self, path: str, site: str | None = None) -> None:
        self.path = path
        self.site = site

    def get(self, route: str, *, within_seconds: float = 15.0, **query: object) -> Json:
        """The answer to a question."""
        given = {name: value for name, value in {"site": self.site, **query}.items() if value is not None}
        return self._send("GET", f"{route}?{urlencode(given)}" if given else route, None, within_seconds)

    def post(self, route: str, *, within_seconds: float = 60.0, **body: object) -> Json:
        """The answer to an order."""
        given = {name: value for name, value in {"site": self.site, **body}.items() if value is not None}
        return self._send("POST", route, json.dumps(given).encode(), within_seconds)

    def _send(self, method: str, route: str, body: bytes | None, within_seconds: float) -> Json:
        connection = _UnixConnection(self.path, within_seconds)
        headers = {"Accept": "application/json"}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(16)}
        try:
            connection.request(method, "/api/v1" + route, body, headers)
            response = connection.getresponse()
            raw = response.read(MAX_ANSWER_BYTES)
        except PermissionError as error:
            raise DaemonUnreachable(
                f"{self.path}: permission denied; people of the group failover may talk to the daemon"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise DaemonUnreachable(f"no daemon answers on {self.path}; is failover.service running?") from error
        except TimeoutError as error:
            raise DaemonUnreachable(
                f"the daemon didn't answer within {within_seconds:g} s; what was asked may be done: see failover status"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise DaemonUnreachable(f"{self.path}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        try:
            answer = json.loads(raw)
        except ValueError as error:
            raise DaemonUnreachable(
                f"{self.path} doesn't answer like a failover daemon (HTTP {response.status})"
            ) from error
        if response.status >= 400:
            raise Answered(response.status, answer if isinstance(answer, dict) else {})
        return answer if isinstance(answer, dict) else {"answer": answer}


def client(ctx: click.Context) -> Client:
    """The client for the socket and site given before the sub-command."""
    return Client(ctx.obj["socket"], ctx.obj["site"])


def show_json(answer: Mapping[str, Any]) -> None:
    """One object on stdout, for ``-o json``."""
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2))


output_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How it is written."
)
why_option = click.option("--why", required=True, metavar="TEXT", help="The reason, for the journal.")
