"""Which certificates a probe believes, and what a certificate says. One TLS context for each trust setting.

Making a context costs 50 to 90 ms of CPU, so looks share it; it's made anew when the CA file on disk changes.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509

from failover.errors import Undecidable


def context(*, verify: bool = True, ca_file: Path | None = None) -> ssl.SSLContext:
    """The TLS context for these settings: the system's CAs, a CA file, or none.

    Raises:
        Undecidable: the CA file can't be used, which is this machine's fault.
    """
    if ca_file is None or not verify:
        return _context(verify, None, 0, 0)
    try:
        found = os.stat(ca_file)
        return _context(True, str(ca_file), found.st_mtime_ns, found.st_size)
    except (OSError, ssl.SSLError) as error:
        raise Undecidable(f"can't use the ca_file {ca_file}: {error.strerror or error}") from error


@lru_cache(maxsize=32)
def _context(verify: bool, ca_file: str | None, _mtime_ns: int, _size: int) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca_file) if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    return made


@dataclass(frozen=True, slots=True)
class Certificate:
    """What matters of a certificate to those who must renew it."""

    subject: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    """The host names and IPs it is for, at most ten."""


@lru_cache(maxsize=512)
def read(der: bytes) -> Certificate:
    """The certificate in ``der``. Raises ValueError when it's none."""
    found = x509.load_der_x509_certificate(der)
    try:
        alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [
            *alternative.get_values_for_type(x509.DNSName),
            *map(str, alternative.get_values_for_type(x509.IPAddress)),
        ]
    except (x509.ExtensionNotFound, ValueError):
        names = []
    return Certificate(
        subject=found.subject.rfc4514_string() or "(no subject)",
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        names=tuple(names[:10]),
    )


def presented(tls: ssl.SSLSocket) -> list[Certificate]:
    """The chain that the server sent, its own certificate first, believed or not.

    Python before 3.13 keeps the whole chain to itself; where it can't be had, the server's own certificate is given.
    """
    chain = getattr(tls, "get_unverified_chain", None) or getattr(
        getattr(tls, "_sslobj", None), "get_unverified_chain", None
    )
    ders: list[bytes] = []
    for entry in (chain() if chain is not None else None) or ():
        der = entry if isinstance(entry, bytes) else entry.public_bytes(_ENCODING_DER)
        ders.append(bytes(der))
    if not ders and (own := tls.getpeercert(binary_form=True)):
        ders = [own]
    return [read(der) for der in ders]


_ENCODING_DER = 2
"""``_ssl.ENCODING_DER``, which Python 3.11's chain wants to be told."""


def earliest_expiry(tls: ssl.SSLSocket) -> float | None:
    """When the first certificate of the chain ends, in unix seconds; None when none shown can be read."""
    try:
        return min((each.not_after.timestamp() for each in presented(tls)), default=None)
    except ValueError:
        return None
