"""A mail server and a web server that really listen, keep what they get, and can be told to be bad."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class SmtpSink:
    """Speaks as much SMTP (RFC 5321) as a client needs; ``answers`` replaces the reply to a verb."""

    tls: ssl.SSLContext | None = None
    answers: dict[str, str] = field(default_factory=dict)
    hang_at: str | None = None
    """The verb after which it never says a word again."""
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    port: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            if self.hang_at == "connect":
                await asyncio.sleep(60)
            await say("220 sink ESMTP")
            while line := (await reader.readline()).decode().strip():
                verb = line.split()[0].upper()
                if verb == self.hang_at:
                    await asyncio.sleep(60)
                if verb in self.answers:
                    await say(self.answers[verb])
                elif verb == "EHLO":
                    secure = writer.get_extra_info("sslcontext") is not None
                    offers = ["AUTH PLAIN LOGIN"] if secure or self.tls is None else ["STARTTLS"]
                    await say("\r\n".join(["250-sink", *(f"250-{offer}" for offer in offers), "250 8BITMIME"]))
                elif verb == "STARTTLS":
                    await say("220 go")
                    assert self.tls is not None, "without it, it isn't offered"
                    await writer.start_tls(self.tls)
                elif verb == "AUTH":
                    self.logins.append(line)
                    await say("235 welcome")
                elif verb == "DATA":
                    await say("354 go")
                    raw = b""
                    while (part := await reader.readline()) != b".\r\n":
                        raw += part.removeprefix(b".") if part.startswith(b"..") else part
                    self.mails.append(message_from_bytes(raw, policy=policy.default))
                    await say("250 queued as 42")
                elif verb == "QUIT":
                    await say("221 bye")
                    return
                else:
                    await say("250 ok")

    @contextlib.contextmanager
    def listening(self) -> Iterator[SmtpSink]:
        """In a thread of its own, so that it answers whatever the test's own loop does."""
        listens = threading.Event()
        ends: list[Callable[[], object]] = []

        async def serve() -> None:
            over = asyncio.Event()
            ends.append(partial(asyncio.get_running_loop().call_soon_threadsafe, over.set))
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            listens.set()
            await over.wait()
            server.close()  # asyncio.run cancels those that still hang

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        listens.wait(5)
        try:
            yield self
        finally:
            ends[0]()
            thread.join()


@dataclass
class WebSink:
    """Keeps what is posted; ``status`` and ``answer`` are what it says."""

    status: int = 200
    answer: bytes = b'{"errcode": 0}'
    got: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @contextlib.contextmanager
    def listening(self) -> Iterator[WebSink]:
        """In threads of its own."""
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                sink.headers.append(dict(self.headers))
                self.send_response(sink.status)
                self.send_header("Content-Length", str(len(sink.answer)))
                self.end_headers()
                self.wfile.write(sink.answer)

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}/robot?key=CANARY"
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
