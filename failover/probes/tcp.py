"""``tcp``: does the port accept a connection and, if asked to, say the right thing?"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from failover.errors import Unhealthy
from failover.model import Span
from failover.probes.base import Seen, Sight, track
from failover.probes.dial import dial
from failover.probes.resolve import Family
from failover.probes.target import AddressedProbe

MAX_ANSWER_BYTES = 4096


class TcpProbe(AddressedProbe):
    """Up when the port accepts a connection and, where ``expect`` is set, that text is in its first 4 KiB.

    A port that accepts and never speaks may belong to a frozen program, whose kernel answers for it: ``expect`` tells.
    """

    kind: Literal["tcp"] = "tcp"
    port: int = Field(ge=1, le=65535, description="The port to connect to.")
    family: Family = Field(default="any", description="Which addresses of a name to use: `any`, `ipv4` or `ipv6`.")
    connect_timeout: Span | None = Field(
        default=None,
        gt=0,
        description="How long connecting alone may take: on one's own network a living server accepts at once, so that"
        " one that lost its power is known before a slow page would be. Left out, `timeout` bounds all together.",
    )
    send: str | None = Field(
        default=None, min_length=1, max_length=4096, description='Text to send, as `"PING\\r\\n"`.'
    )
    expect: str | None = Field(default=None, min_length=1, max_length=1024, description="Text that must come back.")

    @model_validator(mode="after")
    def _sending_expects(self) -> Self:
        if self.send is not None and self.expect is None:
            raise ValueError("it sends something and expects nothing; say what must come back, as `expect: PONG`")
        return self

    async def look(self, sight: Sight) -> Seen:
        """Connect, speak if there is something to say, listen if there is something to hear."""
        wire = await dial(self.where(sight), self.port, self.family, self.connect_timeout)
        try:
            if self.expect is None:
                return Seen(f"{wire.where} accepts connections")
            done = track()
            done.enter("processing")
            if self.send is not None:
                await wire.send(self.send.encode())
            wanted, answer = self.expect.encode(), b""
            while wanted not in answer:
                data = await wire.receive(MAX_ANSWER_BYTES)
                done.enter("transfer")
                answer += data
                if not data or len(answer) > MAX_ANSWER_BYTES:
                    raise Unhealthy(f"{wire.where} says {_said(answer)}, expected {self.expect!r}")
            return Seen(f"{wire.where} says {self.expect!r}")
        finally:
            wire.close()


def _said(answer: bytes) -> str:
    return repr(answer[:80].decode("utf-8", "backslashreplace")) if answer else "nothing"
