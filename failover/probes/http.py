"""``http``: is the right page there? Connection, TLS, status, headers and text, each look from the very beginning."""

from __future__ import annotations

import ipaddress
import re
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from failover import __version__
from failover.errors import Undecidable, Unhealthy
from failover.model import Span
from failover.probes.base import Seen, Sight, track
from failover.probes.http_expect import HttpExpect
from failover.probes.http_transport import URL, BadURL, LookTransport, Request, Response
from failover.probes.resolve import Family
from failover.probes.target import PLACEHOLDER, PlacedProbe
from failover.probes.trust import context

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {
    "User-Agent": f"failover/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # a page that is never packed can't be a gzip bomb
    "Cache-Control": "no-cache",  # a proxy's copy says nothing about the origin (FAULTS.md, P15)
    "Pragma": "no-cache",
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REMEMBERED = 8


class HttpProbe(PlacedProbe):
    """Up when the page is there and is the right one, within the time.

    ``unknown`` where the monitor is at fault or kept out: no name server, no file descriptor, 403 or 429 by a firewall.
    """

    kind: Literal["http"] = "http"
    url: str = Field(
        description="What to get. `{holder}` is the address of the role's holder, `{server}` that of the server."
    )
    connect: str | None = Field(
        default=None,
        description="IP to connect to instead of asking DNS; URL, Host, SNI and certificate stay the name's. A redirect"
        " to another host isn't followed then. `{holder}` and `{server}` may stand here.",
    )
    family: Family = Field(default="any", description="Which addresses of a name to use: `any`, `ipv4` or `ipv6`.")
    connect_timeout: Span | None = Field(
        default=None,
        gt=0,
        description="How long connecting alone may take: on one's own network a living server accepts at once, so that"
        " one that lost its power is known before a slow page would be. Left out, `timeout` bounds all together.",
    )
    method: Literal["GET", "HEAD"] = Field(default="GET", description="How to ask; `HEAD` brings no page.")
    headers: Mapping[str, str] = Field(default_factory=dict, description="Headers to send; not for secrets.")
    expect: HttpExpect = Field(default=HttpExpect(), description="What the reply must be like.")
    max_redirects: int = Field(default=5, ge=0, le=20, description="Redirects to follow.")
    blocked: tuple[int, ...] = Field(
        default=(403, 429),
        description="Status codes by which a firewall keeps the monitor out: nothing is known then. Take 403 out where"
        " your own web server may send it for a real fault, as nginx does for an empty site.",
    )
    verify: bool = Field(default=True, description="False: any certificate will do.")
    ca_file: Path | None = Field(default=None, description="The CA to believe instead of the system's.")
    tls_trouble: Literal["alarm", "down"] = Field(
        default="alarm",
        description="What a bad certificate means. `alarm`: unknown, people are told, nothing moves, for the backup has"
        " the same one. `down`: as any other fault.",
    )

    _prepared: dict[tuple[str, str | None], tuple[LookTransport, Request]] = PrivateAttr(default_factory=dict)

    def places(self) -> tuple[str, ...]:
        """URL, address to connect to, and the headers expected."""
        return (self.url, *((self.connect,) if self.connect else ()), *self.expect.header.values())

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        try:
            url = URL(PLACEHOLDER.sub("192.0.2.1", value))
        except BadURL as error:
            raise ValueError(f"{value!r} is no URL: {error}") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"{value!r} is no web address; write it as http://10.77.0.100/ or https://www.example.cn/")
        if url.userinfo:
            raise ValueError("a user name or password in a URL ends up in logs; leave it out")
        return value

    @field_validator("connect")
    @classmethod
    def _is_ip(cls, value: str | None) -> str | None:
        if value is None or PLACEHOLDER.fullmatch(value):
            return value
        try:
            return str(ipaddress.ip_address(value))
        except ValueError as error:
            raise ValueError(f"{value!r} is not an IP address; write it as 10.77.0.100 or fd77::100") from error

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, text in value.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is no header name")
            if not text.isascii() or not text.isprintable():
                raise ValueError(f"the value of header {name} may only hold printable ASCII characters")
            if name.lower() in ("authorization", "cookie", "proxy-authorization"):
                raise ValueError(f"header {name} is a secret, and secrets don't belong here; let the page be public")
            if name.lower() in ("connection", "content-length", "transfer-encoding", "accept-encoding"):
                raise ValueError(f"header {name} is the probe's own to set")
        return value

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.method == "HEAD" and self.expect.reads_body:
            raise ValueError("HEAD brings no page, so nothing can be looked for on it; use method: GET")
        if self.ca_file is not None and not self.verify:
            raise ValueError("ca_file means nothing with verify: false; leave one of them out")
        return self

    async def look(self, sight: Sight) -> Seen:
        """Get the page, follow where it leads, and compare it with what is expected."""
        began = time.monotonic()
        transport, request = self._prepare(self.place(self.url, sight, in_url=True), sight)
        done = track()
        for hop in range(self.max_redirects + 1):
            response = await self._exchange(transport, request)
            try:
                status = response.status_code
                done.values["http_status_code"] = float(status)
                done.values["http_redirects"] = float(hop)
                if not self.expect.takes(status):
                    if status in _REDIRECTS and "location" in response.headers and self.max_redirects:
                        request = self._next(request, response)
                        continue
                    self._refuse(status, response)
                self._judge_headers(response, sight)
                await self._judge_body(response)
            finally:
                await response.aclose()
            done.leave()
            taken, allowed = time.monotonic() - began, self.expect.max_seconds
            if allowed is not None and taken > allowed:
                raise Unhealthy(f"took {taken:.3f} s, allowed are {allowed:g} s")
            return Seen(_called(response))
        raise Unhealthy(f"more than {self.max_redirects} redirects, the last to {request.url}")

    def _prepare(self, url: str, sight: Sight) -> tuple[LookTransport, Request]:
        """Requests are built once for each place that the probe has looked at: building one costs as much as a look."""
        connect = self.place(self.connect, sight) if self.connect else None
        known = self._prepared.get((url, connect))
        if known is None:
            request = Request(self.method, url, headers={**_HEADERS, **self.headers})
            pins = {request.url.raw_host.decode(): connect} if connect else None
            known = LookTransport(self._context, pins, self.family, self.connect_timeout), request
            if len(self._prepared) >= _REMEMBERED:
                self._prepared.clear()
            self._prepared[url, connect] = known
        return known

    def _context(self) -> ssl.SSLContext:
        return context(verify=self.verify, ca_file=self.ca_file)

    async def _exchange(self, transport: LookTransport, request: Request) -> Response:
        try:
            return await transport.handle_async_request(request)
        except ssl.SSLCertVerificationError as error:
            sentence = f"the certificate of {request.url.host} won't do: {error.verify_message}"
            if self.tls_trouble == "down":
                raise Unhealthy(sentence) from error
            raise Undecidable(f"{sentence}; a backup would show the same one, so this moves nothing") from error

    def _next(self, request: Request, response: Response) -> Request:
        """The request that a redirect asks for. Our own headers go to the host they were written for and no other."""
        target = response.headers["location"]
        try:
            url = request.url.join(target)
        except BadURL as error:
            raise Unhealthy(f"redirects to {target[:200]!r}, which is no URL") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise Unhealthy(f"redirects to {target[:200]!r}, which is no web address")
        if self.connect and url.host != request.url.host:
            raise Unhealthy(f"redirects to {url.host}, while `connect` pins {request.url.host} alone")
        own = self.headers if url.host == request.url.host else {}
        return Request(self.method, url, headers={**_HEADERS, **own})

    def _refuse(self, status: int, response: Response) -> None:
        if status in self.blocked:
            raise Undecidable(f"the monitor is blocked: it was answered {_called(response)}")
        raise Unhealthy(f"answered {_called(response)}, expected {self.expect.says()}")

    def _judge_headers(self, response: Response, sight: Sight) -> None:
        for name, pattern in self.expect.header.items():
            text = PLACEHOLDER.sub(lambda found: self.named(found[1], sight), pattern)
            value = response.headers.get(name)
            if value is None:
                raise Unhealthy(f"the reply has no header {name}, expected {text!r} in it")
            if text not in value:
                raise Unhealthy(f"header {name} is {value[:200]!r}, expected {text!r} in it")

    async def _judge_body(self, response: Response) -> None:
        announced = response.headers.get("content-length", "")
        most = self.expect.max_bytes
        if self.method == "GET" and announced.isdigit() and int(announced) > most:
            raise Unhealthy(f"the page is {announced} bytes long, allowed are {most}")
        page, size, keep = bytearray(), 0, self.expect.reads_body
        async for chunk in response.stream:  # type: ignore[union-attr] # ours is asynchronous
            size += len(chunk)
            if size > most:
                raise Unhealthy(f"the page is longer than the {most} bytes allowed")
            if keep:
                page += chunk
        track().values["http_content_length"] = float(announced if announced.isdigit() else size)
        if keep:
            headers = response.headers
            self.expect.judge_body(bytes(page), headers.get("content-type", ""), headers.get("content-encoding", ""))


def _called(response: Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()
