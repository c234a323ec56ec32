"""``tls``: how long certificates last, believed or not."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from failover.model import State
from failover.probes.tls import TlsProbe

from .conftest import Stage, ToySight

Certified = Callable[..., ssl.SSLContext]


async def quiet(reader: Any, writer: Any) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("names", "days", "known", "state", "said"),
    [
        (["www.example.cn"], 365.01, True, State.UP, "lasts 365 d more, until 20"),
        (["www.example.cn"], 12.5, True, State.DOWN, ", in 12 d"),
        (["www.example.cn"], 0.21, True, State.DOWN, ", in 5 h"),
        (["www.example.cn"], -3.01, True, State.DOWN, "3 d ago"),
        (["a.cn", "b.cn"], 90.1, True, State.DOWN, "it is for a.cn, b.cn (ends on 20"),
        (["www.example.cn"], 90.1, False, State.DOWN, "unable to get local issuer certificate (ends on 20"),
        (["www.example.cn"], -3.01, False, State.DOWN, "3 d ago"),
    ],
)
async def test_expiry_is_measured_whatever_the_certificate(
    stage: Stage,
    sight: ToySight,
    certified: Certified,
    ca_file: Path,
    names: list[str],
    days: float,
    known: bool,
    state: State,
    said: str,
) -> None:
    port = await stage.serve(quiet, tls=certified(*names, days=days, **({} if known else {"ca": trustme.CA()})))
    probe = TlsProbe(address="127.0.0.1", port=port, name="www.example.cn", ca_file=ca_file)
    reading = await probe.take("certificate", sight)
    assert reading.state is state, reading.reason
    assert said in reading.reason
    assert reading.values["ssl_earliest_cert_expiry"] == pytest.approx(time.time() + days * 86400, abs=60)
    assert reading.phases["tls"] > 0


async def test_an_intermediate_that_ends_first_is_named(stage: Stage, sight: ToySight, tmp_path: Path) -> None:
    """Python before 3.13 keeps the chain in a private place; this fails where it's no longer found there."""
    root_key, middle_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = signed("Root", root_key, "Root", root_key, 3000)
    middle = signed("Middle", middle_key, "Root", root_key, 10.5)
    leaf = signed("www.example.cn", leaf_key, "Middle", middle_key, 300)
    key = leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "server.pem").write_bytes(key + pem(leaf) + pem(middle))
    (tmp_path / "root.pem").write_bytes(pem(root))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    port = await stage.serve(quiet, tls=context)
    probe = TlsProbe(address="127.0.0.1", port=port, name="www.example.cn", ca_file=tmp_path / "root.pem")
    reading = await probe.take("c", sight)
    assert reading.state is State.DOWN
    assert reading.reason.startswith("the intermediate certificate CN=Middle of www.example.cn ends on 20")
    assert reading.reason.endswith(", in 10 d")


async def test_no_tls_at_all_is_down(stage: Stage, sight: ToySight) -> None:
    async def plain(reader: Any, writer: Any) -> None:
        writer.write(b"220 hello\r\n")
        await reader.read()

    port = await stage.serve(plain)
    reading = await TlsProbe(address="127.0.0.1", port=port).take("c", sight)
    assert reading.state is State.DOWN
    assert "fails the TLS handshake: wrong version number" in reading.reason


def test_it_never_fails_over() -> None:
    assert TlsProbe(address="127.0.0.1").fails_over is False
    with pytest.raises(ValidationError, match="fails_over"):
        TlsProbe.model_validate({"address": "127.0.0.1", "fails_over": True})


def signed(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, days: float
) -> x509.Certificate:
    now = datetime.now(UTC)
    authority = name in ("Root", "Middle")
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return made.sign(by, hashes.SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
