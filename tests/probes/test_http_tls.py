"""``https``: whose certificate, which name, which address."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from failover.errors import Unhealthy
from failover.model import State
from failover.probes.http import HttpProbe
from failover.probes.http_transport import LookTransport
from failover.probes.trust import context

from .conftest import Stage, ToySight, saying

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Certified = Callable[..., ssl.SSLContext]


async def test_a_pinned_address_keeps_host_sni_and_certificate(
    stage: Stage, sight: ToySight, certified: Certified, ca_file: Path
) -> None:
    heard: list[bytes] = []
    names: list[str | None] = []
    tls = certified("www.example.cn")
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    port = await stage.serve(saying(OK, heard), tls=tls)
    probe = HttpProbe(url=f"https://www.example.cn:{port}/page", connect="127.0.0.1", ca_file=ca_file)
    reading = await probe.take("w", sight)
    assert (reading.state, reading.reason) == (State.UP, "200 OK"), "no DNS knows that name"
    assert names == ["www.example.cn"]
    assert f"Host: www.example.cn:{port}\r\n".encode() in heard[0]
    assert set(reading.phases) == {"resolve", "connect", "tls", "processing", "transfer"}
    assert reading.values["ssl_earliest_cert_expiry"] == pytest.approx(time.time() + 365 * 86400, abs=60)


async def test_the_pin_may_be_the_holder(stage: Stage, sight: ToySight, certified: Certified, ca_file: Path) -> None:
    port = await stage.serve(saying(OK), tls=certified("www.example.cn"))
    probe = HttpProbe(role="web", url=f"https://www.example.cn:{port}/", connect="{holder}", ca_file=ca_file)
    assert (await probe.take("w", sight)).state is State.UP
    sight.holders["web"] = "web-2"  # ::1, where nobody listens
    assert (await probe.take("w", sight)).reason == f"[::1]:{port} refuses the connection"


async def test_a_redirect_stays_pinned(stage: Stage, sight: ToySight, certified: Certified, ca_file: Path) -> None:
    secure = await stage.serve(saying(OK), tls=certified("www.example.cn"))
    location = f"HTTP/1.1 301 Moved\r\nLocation: https://www.example.cn:{secure}/\r\nContent-Length: 0\r\n\r\n"
    plain = await stage.serve(saying(location.encode()))
    probe = HttpProbe(url=f"http://www.example.cn:{plain}/", connect="127.0.0.1", ca_file=ca_file)
    reading = await probe.take("w", sight)
    assert (reading.state, reading.reason) == (State.UP, "200 OK")


async def test_a_redirect_away_from_the_pin_is_refused(stage: Stage, sight: ToySight) -> None:
    port = await stage.serve(
        saying(b"HTTP/1.1 301 Moved\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n")
    )
    probe = HttpProbe(url=f"http://www.example.cn:{port}/", connect="127.0.0.1")
    reading = await probe.take("w", sight)
    assert (reading.state, reading.reason) == (
        State.DOWN,
        "redirects to evil.example, while `connect` pins www.example.cn alone",
    )


async def test_the_transport_itself_refuses_an_unpinned_host() -> None:
    transport = LookTransport(context, {"www.example.cn": "127.0.0.1"})
    with pytest.raises(Unhealthy, match=r"other\.example, for which no address is pinned"):
        await transport.handle_async_request(httpx.Request("GET", "http://other.example/"))


@pytest.mark.parametrize(
    ("names", "days", "known", "said"),
    [
        (["www.example.cn"], -3, True, "certificate has expired"),
        (["other.example.cn"], 90, True, "Hostname mismatch"),
        (["www.example.cn"], 90, False, "unable to get local issuer certificate"),
    ],
    ids=["expired", "wrong name", "unknown CA"],
)
async def test_a_bad_certificate_alarms_and_moves_nothing(
    stage: Stage,
    sight: ToySight,
    certified: Certified,
    ca_file: Path,
    names: list[str],
    days: int,
    known: bool,
    said: str,
) -> None:
    port = await stage.serve(saying(OK), tls=certified(*names, days=days, **({} if known else {"ca": trustme.CA()})))
    settings: dict[str, Any] = {"url": f"https://www.example.cn:{port}/", "connect": "127.0.0.1", "ca_file": ca_file}
    reading = await HttpProbe.model_validate(settings).take("w", sight)
    assert reading.state is State.UNKNOWN
    assert reading.reason.startswith("the certificate of www.example.cn won't do: ")
    assert said in reading.reason
    assert (await HttpProbe.model_validate({**settings, "tls_trouble": "down"}).take("w", sight)).state is State.DOWN
    settings = {"url": f"https://www.example.cn:{port}/", "connect": "127.0.0.1", "verify": False}
    unverified = await HttpProbe.model_validate(settings).take("w", sight)
    assert unverified.state is State.UP
    assert unverified.values["ssl_earliest_cert_expiry"] == pytest.approx(time.time() + days * 86400, abs=60)


async def test_plain_http_on_the_https_port_is_down(stage: Stage, sight: ToySight) -> None:
    port = await stage.page()
    reading = await HttpProbe(url=f"https://127.0.0.1:{port}/", verify=False, timeout="1s").take("w", sight)
    assert reading.state is State.DOWN


async def test_a_frozen_handshake_is_down_in_time(stage: Stage, sight: ToySight) -> None:
    async def silent(reader: Any, writer: Any) -> None:
        await reader.read()

    port = await stage.serve(silent)
    reading = await HttpProbe(url=f"https://127.0.0.1:{port}/", verify=False, timeout="300ms").take("w", sight)
    assert (reading.state, reading.reason) == (
        State.DOWN,
        "no complete answer within 0.3 s (still in the TLS handshake)",
    )
    assert reading.seconds < 2


async def test_a_ca_file_that_is_not_there_is_the_monitors_trouble(
    stage: Stage, sight: ToySight, certified: Certified, tmp_path: Path
) -> None:
    port = await stage.serve(saying(OK), tls=certified("127.0.0.1"))
    reading = await HttpProbe(url=f"https://127.0.0.1:{port}/", ca_file=tmp_path / "none.pem").take("w", sight)
    assert reading.state is State.UNKNOWN
    assert "No such file" in reading.reason


async def test_a_ca_file_that_changes_is_read_again(
    stage: Stage, sight: ToySight, certified: Certified, authority: trustme.CA, tmp_path: Path
) -> None:
    port = await stage.serve(saying(OK), tls=certified("127.0.0.1"))
    mine = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(mine))
    probe = HttpProbe(url=f"https://127.0.0.1:{port}/", ca_file=mine)
    assert (await probe.take("w", sight)).state is State.UNKNOWN
    authority.cert_pem.write_to_path(str(mine), append=True)
    assert (await probe.take("w", sight)).state is State.UP


def test_looks_share_one_context(ca_file: Path) -> None:
    assert context(ca_file=ca_file) is context(ca_file=ca_file)
    assert context(verify=False) is context(verify=False)
    assert context() is not context(ca_file=ca_file)


async def test_the_transport_stands_under_httpx_as_well(stage: Stage) -> None:
    heard: list[bytes] = []
    port = await stage.serve(saying(OK, heard))
    async with httpx.AsyncClient(transport=LookTransport(context), trust_env=False) as client:
        reply = await client.post(f"http://127.0.0.1:{port}/in", content=b"abc")
    assert (reply.status_code, reply.text, reply.reason_phrase) == (200, "ok", "OK")
    assert heard[0].startswith(b"POST /in HTTP/1.1\r\n")
    assert heard[0].lower().count(b"connection:") == 1
