"""httpx's transport interface over one fresh connection a request: the only module that imports httpx.

A look must test the connection and TLS each time, so httpx's pool, cookies, authentication and encodings are of no use
to it, and they cost ten times what the look does. Requests and responses stay httpx's own, so that this transport can
stand under an ``httpx.AsyncClient`` as well.

The time is the caller's to bound: none is kept here but, where asked for, that of connecting.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping

import httptools
import httpx

from failover.errors import Unhealthy
from failover.probes.base import track
from failover.probes.dial import dial
from failover.probes.resolve import Family
from failover.probes.trust import earliest_expiry
from failover.probes.wire import Wire

MAX_HEAD_BYTES = 65536
"""More than this in status line and headers is an attack or a bug."""

Request = httpx.Request
Response = httpx.Response
URL = httpx.URL
BadURL = httpx.InvalidURL


class LookTransport(httpx.AsyncBaseTransport):
    """Sends each request over a connection of its own, HTTP/1.1, and leaves the reply's body to be streamed.

    Phases (``resolve connect tls processing transfer``) and ``ssl_earliest_cert_expiry`` go to the look's track.

    Args:
        context: gives the TLS context; asked only for https.
        pins: the address to connect to for a host name, whatever its DNS says; the URL, ``Host``, SNI and the name on
            the certificate stay the name's. With pins, a host without one is refused.
        family: which addresses of a name may be used.
        connect_seconds: how long connecting may take by itself.
    """

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        pins: Mapping[str, str] | None = None,
        family: Family = "any",
        connect_seconds: float | None = None,
    ) -> None:
        self._context = context
        self._pins = pins
        self._family: Family = family
        self._connect_seconds = connect_seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The reply's head, its body still to be read from ``response.stream``; the caller closes the response.

        Raises:
            Unhealthy: no connection, no TLS, or no HTTP reply.
            Undecidable: this machine is at fault.
            ssl.SSLCertVerificationError: the certificate won't do.
        """
        url = request.url
        host = url.raw_host.decode("ascii")
        secure = url.scheme == "https"
        to = host if self._pins is None else self._pins.get(host)
        if to is None:
            raise Unhealthy(f"the reply leads to {host}, for which no address is pinned")
        wire = await dial(to, url.port or (443 if secure else 80), self._family, self._connect_seconds)
        try:
            done = track()
            if secure:
                done.enter("tls")
                await wire.secure(self._context(), host)
                if wire.tls is not None and (ends := earliest_expiry(wire.tls)) is not None:
                    done.values["ssl_earliest_cert_expiry"] = ends
            done.enter("processing")
            await wire.send(_head(request) + await request.aread())
            reply = _Reply(wire, request.method)
            await reply.head()
            done.enter("transfer")
        except BaseException:
            wire.close()
            raise
        return httpx.Response(
            reply.status,
            headers=reply.headers,
            stream=reply,
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": reply.phrase},
        )

    async def aclose(self) -> None:
        """Nothing is kept open."""


def _head(request: httpx.Request) -> bytes:
    target = request.url.raw_path
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
    lines += [b"%b: %b" % pair for pair in request.headers.raw if pair[0].lower() != b"connection"]
    lines.append(b"Connection: close\r\n\r\n")
    return b"\r\n".join(lines)


class _Reply(httpx.AsyncByteStream):
    """One reply as it comes in: httptools calls the ``on_`` methods, :meth:`head` and iteration drive it."""

    def __init__(self, wire: Wire, method: str) -> None:
        self.status = 0
        self.phrase = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._wire = wire
        self._bodiless = method == "HEAD"
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        self._head_done = False
        self._complete = False
        self._until_close = True
        self._chunks: list[bytes] = []

    # What the parser calls.

    def on_status(self, phrase: bytes) -> None:
        self.phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        self._head_done = True
        for name, _ in self.headers:
            if name.lower() in (b"content-length", b"transfer-encoding"):
                self._until_close = False
        if self._bodiless:
            self._complete = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self.status < 200:  # 100 Continue, 103 Early Hints: the reply proper follows
            self.headers, self.phrase = [], b""
        else:
            self._complete = True

    # What the probe calls.

    async def head(self) -> None:
        """Reads until status and headers are there."""
        data = await self._wire.answer()
        while True:
            if not data:
                raise Unhealthy(f"{self._wire.where} closed the connection without a reply")
            self._head_bytes += len(data)
            self._feed(data)
            if self._head_done:
                return
            if self._head_bytes > MAX_HEAD_BYTES:
                raise Unhealthy(f"{self._wire.where} sends more than {MAX_HEAD_BYTES} bytes of headers")
            data = await self._wire.receive()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        while True:
            if self._chunks:
                for chunk in self._chunks:
                    received += len(chunk)
                    yield chunk
                self._chunks.clear()
            if self._complete:
                return
            data = await self._wire.receive()
            if data:
                self._feed(data)
            elif self._until_close:  # RFC 9112, 6.3: the end of the connection is the end of the body
                self._complete = True
            else:
                raise Unhealthy(f"{self._wire.where} broke off in the middle of the page, after {received} bytes")

    async def aclose(self) -> None:
        self._wire.close()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise Unhealthy(f"{self._wire.where} wants to change to another protocol") from error
        except httptools.HttpParserError as error:
            if self._complete:  # bytes after the reply are no part of it
                return
            if self._head_done:
                raise Unhealthy(f"{self._wire.where} sends a garbled reply: {error}") from error
            raise Unhealthy(f"{self._wire.where} doesn't speak HTTP: it sends {data[:40]!r}") from error
