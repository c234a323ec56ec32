"""Pinned host keys: the only ones a server may show, kept in an OpenSSH known_hosts file of failover's own.

``[10.77.0.11]:2222 ssh-ed25519 AAAA...``: ``ssh -o UserKnownHostsFile=`` can read it too (sshd(8), SSH_KNOWN_HOSTS FILE
FORMAT). Lines that aren't of this plain kind (hashed names, ``@cert-authority``, ``@revoked``) aren't ours, and are
refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from failover.errors import ConfigError


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public host key: its type and its blob in base64."""

    kind: str
    blob: str

    @classmethod
    def parse(cls, text: str) -> HostKey:
        """From ``ssh-ed25519 AAAA... comment``, as in a ``.pub`` file.

        Raises:
            ValueError: that isn't a public key.
        """
        words = text.split()
        if len(words) < 2:
            raise ValueError(f"{text[:60]!r} is not a public key; it looks like 'ssh-ed25519 AAAA...'")
        kind, blob = words[:2]
        try:
            raw = base64.b64decode(blob, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if raw[:4] != len(kind).to_bytes(4, "big") or raw[4 : 4 + len(kind)] != kind.encode():
            raise ValueError(f"{text[:60]!r} is not a public key: its body isn't of the kind {kind!r}")
        return cls(kind, blob)

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -lf`` shows it: ``SHA256:...``."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {self.blob}"


def host_field(host: str, port: int) -> str:
    """The name under which a server's key is kept: ``10.77.0.11``, ``[10.77.0.11]:2222``."""
    return host if port == 22 else f"[{host}]:{port}"


def read_pins(known_hosts: Path, host: str, port: int) -> tuple[HostKey, ...]:
    """The keys pinned for a server; none when the file doesn't exist yet.

    Raises:
        ConfigError: a line can't be understood: then nothing is trusted.
    """
    wanted = host_field(host, port)
    return tuple(key for names, key in _lines(known_hosts) if wanted in names)


def write_pins(known_hosts: Path, host: str, port: int, keys: Iterable[HostKey]) -> bool:
    """Pin exactly these keys for a server, leaving the others' alone; whether the file changed."""
    wanted = host_field(host, port)
    new = [f"{wanted} {key}" for key in keys]
    kept = [
        f"{','.join(others)} {key}"
        for names, key in _lines(known_hosts)
        if (others := [n for n in names if n != wanted])
    ]
    text = "".join(f"{line}\n" for line in sorted([*kept, *new]))
    if known_hosts.exists() and known_hosts.read_text() == text:
        return False
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=known_hosts.parent, prefix=f".{known_hosts.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    os.replace(draft, known_hosts)
    return True


def _lines(known_hosts: Path) -> list[tuple[list[str], HostKey]]:
    if not known_hosts.exists():
        return []
    found, problems = [], []
    for number, line in enumerate(known_hosts.read_text(errors="replace").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        names, _, key = line.strip().partition(" ")
        if names.startswith(("@", "|")):
            problems.append(f"{known_hosts}:{number}:1: {names[:20]!r}: only plain 'host type key' lines belong here")
            continue
        try:
            found.append((names.split(","), HostKey.parse(key)))
        except ValueError as error:
            problems.append(f"{known_hosts}:{number}:1: {error}")
    if problems:
        raise ConfigError(problems)
    return found
