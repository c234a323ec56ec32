"""``database``: does the database server speak, or does only its kernel accept connections for it?"""

from __future__ import annotations

import struct
from typing import Literal

from pydantic import Field

from failover.errors import Undecidable, Unhealthy
from failover.model import Span
from failover.probes.base import Seen, Sight, track
from failover.probes.dial import dial
from failover.probes.target import AddressedProbe
from failover.probes.wire import Wire

PORTS = {"postgresql": 5432, "mariadb": 3306}
_STARTUP = 3 << 16
"""Version 3.0 of PostgreSQL's protocol."""
_NOT_NOW = "57P03"
_NO_ROOM = ("53300", "1040")
MAX_ANSWER_BYTES = 65536


class DatabaseProbe(AddressedProbe):
    """Up when the database server itself answers a new connection; nobody logs in, so no password is needed.

    PostgreSQL is asked for a session, as ``pg_isready`` does, and asks for a password or refuses the account: it lives.
    One that is starting up, shutting down or recovering says so, and is down. MariaDB greets first. One that has no
    room for another connection is alive and busy: nothing is known, and nothing moves for it.
    """

    kind: Literal["database"] = "database"
    engine: Literal["postgresql", "mariadb"] = Field(description="What speaks there: `postgresql` or `mariadb`.")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="The port to connect to; by default 5432, or 3306 of MariaDB."
    )
    user: str = Field(
        default="failover", pattern=r"^[\w.-]{1,63}$", description="The account that a session is asked for."
    )
    database: str = Field(default="postgres", pattern=r"^[\w.-]{1,63}$", description="And the database.")
    connect_timeout: Span | None = Field(
        default=None,
        gt=0,
        description="How long connecting alone may take, so that a server without power is known before a slow one.",
    )

    async def look(self, sight: Sight) -> Seen:
        """Connect, and hear what the server says."""
        port = self.port or PORTS[self.engine]
        wire = await dial(self.where(sight), port, "any", self.connect_timeout)
        try:
            track().enter("processing")
            said = await (self._postgresql(wire) if self.engine == "postgresql" else self._mariadb(wire))
        finally:
            wire.close()
        return Seen(f"{wire.where} {said}")

    async def _postgresql(self, wire: Wire) -> str:
        """See PostgreSQL's manual, 55.7: StartupMessage; the answer's first byte is R, E, or of something else."""
        words = b"".join(
            word.encode() + b"\0"
            for word in ("user", self.user, "database", self.database, "application_name", "failover")
        )
        body = struct.pack("!I", _STARTUP) + words + b"\0"
        await wire.send(struct.pack("!I", len(body) + 4) + body)
        head = await _exactly(wire, b"", 5)
        (length,) = struct.unpack("!I", head[1:5])
        if head[:1] not in (b"R", b"E", b"v") or not 4 <= length <= MAX_ANSWER_BYTES:
            raise Unhealthy(f"{wire.where} says {head!r}, which isn't PostgreSQL")
        if head[:1] != b"E":
            return "asks for a login: PostgreSQL"
        answer = await _exactly(wire, head, 1 + length)
        fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in answer[5:].split(b"\0") if part}
        return _judged(wire, fields.get(b"C", ""), fields.get(b"M", "no reason"), _NOT_NOW)

    @staticmethod
    async def _mariadb(wire: Wire) -> str:
        """See MariaDB's manual, "Connecting": the server's first packet, 10 and its version, or 255 and an error."""
        head = await _exactly(wire, b"", 5)
        length = int.from_bytes(head[:3], "little")
        if head[4] not in (10, 255) or not 4 <= length <= MAX_ANSWER_BYTES:
            raise Unhealthy(f"{wire.where} says {head!r}, which isn't MariaDB")
        answer = await _exactly(wire, head, 4 + length)
        if answer[4] == 10:
            version = answer[5:].split(bytes(1), 1)[0].decode("utf-8", "replace")
            return f"greets as {version.removeprefix('5.5.5-')}"  # put before it for replicas of MySQL 5.5
        return _judged(wire, str(int.from_bytes(answer[5:7], "little")), answer[7:].decode("utf-8", "replace"), "")


def _judged(wire: Wire, code: str, message: str, not_now: str) -> str:
    """What a refusal means: most come from a server that lives."""
    if code == not_now:
        raise Unhealthy(f"{wire.where} takes nobody now: {message}")
    if code in _NO_ROOM:
        raise Undecidable(f"{wire.where} lives and has no room for another connection: {message}")
    return f"answers: {message}"


async def _exactly(wire: Wire, begun: bytes, count: int) -> bytes:
    """So many bytes, those that came before among them."""
    while len(begun) < count:
        data = await wire.receive(count - len(begun))
        track().enter("transfer")
        if not data:
            raise Unhealthy(f"{wire.where} closed the connection after {begun!r}")
        begun += data
    return begun
