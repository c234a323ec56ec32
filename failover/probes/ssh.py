"""``ssh``: does a living sshd greet at that port? No login, no key exchange."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from failover.errors import Undecidable, Unhealthy
from failover.model import Span
from failover.probes.base import Seen, Sight, track
from failover.probes.dial import dial
from failover.probes.target import AddressedProbe

MAX_GREETING_BYTES = 8192


class SshProbe(AddressedProbe):
    """Up when the port greets with SSH 2 (RFC 4253, 4.2): only a running sshd does; a frozen one only accepts.

    OpenSSH 9.8 and later counts one second of penalty for each connection that never logs in, and shuts a client with
    fifteen of them out (sshd_config(5), PerSourcePenalties), which would lock out the monitor's own sessions: so looks
    are far apart, also while a failure is being confirmed.
    """

    kind: Literal["ssh"] = "ssh"
    every: Span = Field(default=30.0, ge=2, description="Time from one look to the next; at least 2 s.")
    confirm_every: Span = Field(default=2.0, ge=1, description="As `every`, after a failed look; at least 1 s.")
    port: int = Field(default=22, ge=1, le=65535, description="The port of its sshd.")

    async def look(self, sight: Sight) -> Seen:
        """Read up to the line that names the protocol; others may come before it."""
        wire = await dial(self.where(sight), self.port)
        try:
            done = track()
            done.enter("processing")
            greeting = b""
            while True:
                data = await wire.answer(1024)
                greeting += data
                *lines, rest = greeting.split(b"\n")
                for line in lines if data else [*lines, rest]:
                    if line.startswith((b"SSH-2.0-", b"SSH-1.99-")):  # 1.99 also speaks 2.0 (RFC 4253, 5.1)
                        return Seen(_text(line))
                    if line.startswith((b"Not allowed at this time", b"Exceeded MaxStartups")):
                        raise Undecidable(f"{wire.where} turns the monitor away: {_text(line)}")
                    if line.startswith(b"SSH-"):
                        raise Unhealthy(f"{wire.where} greets as {_text(line)}, which isn't SSH 2")
                if not data:
                    raise Unhealthy(f"{wire.where} closed the connection without an SSH greeting: {_text(greeting)!r}")
                if len(greeting) > MAX_GREETING_BYTES:
                    raise Unhealthy(f"{wire.where} doesn't speak SSH: it says {_text(greeting)!r}")
        finally:
            wire.close()


def _text(line: bytes) -> str:
    return line[:80].decode("utf-8", "backslashreplace").strip()
