"""The standby's certificate, asked at the standby itself with the site's name, from a real TLS server."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from failover.model import State
from failover.monitor.pages import shown_at
from failover.probes.http import HttpProbe
from failover.probes.ping import PingProbe
from tests.probes.conftest import Stage, ToySight, authority, ca_file, certified, sight, stage

__all__ = ["authority", "ca_file", "certified", "sight", "stage"]

Certified = Callable[..., ssl.SSLContext]


async def quiet(reader: Any, _writer: Any) -> None:
    await reader.read()


def website(port: int, ca: Path, **more: Any) -> HttpProbe:
    """The site's check: visitors' name, and an address that nobody answers for here."""
    return HttpProbe(url=f"https://www.example.cn:{port}/", connect="192.0.2.1", ca_file=ca, **more)


@pytest.mark.parametrize(
    ("names", "days", "state", "said"),
    [
        (["www.example.cn"], 60.0, State.UP, "lasts 59 d more"),
        (["www.example.cn"], 1.1, State.UP, "lasts 1 d more"),
        (["www.example.cn"], -2.1, State.DOWN, "2 d ago"),
        (["backup.example.cn"], 60.0, State.DOWN, "it is for backup.example.cn"),
    ],
)
async def test_the_standby_is_asked_for_the_sites_name(
    stage: Stage, sight: ToySight, certified: Certified, ca_file: Path, names: list[str], days: float, state: State,
    said: str,
) -> None:  # fmt: skip
    port = await stage.serve(quiet, tls=certified(*names, days=days))
    probe = shown_at(website(port, ca_file), sight, "127.0.0.1")
    assert probe is not None
    reading = await probe.take("website", sight)
    assert (reading.state, said in reading.reason) == (state, True), reading.reason


async def test_the_name_is_sent_so_that_a_server_of_many_sites_shows_the_right_one(
    stage: Stage, sight: ToySight, certified: Certified, ca_file: Path
) -> None:
    asked: list[str | None] = []
    other, ours = certified("default.example.cn"), certified("www.example.cn")

    def choose(tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        asked.append(name)
        if name == "www.example.cn":
            tls.context = ours

    other.sni_callback = choose
    port = await stage.serve(quiet, tls=other)
    probe = shown_at(website(port, ca_file), sight, "127.0.0.1")
    assert probe is not None
    assert (await probe.take("website", sight)).state is State.UP
    assert asked == ["www.example.cn"]


async def test_a_standby_that_shows_nothing_is_said(sight: ToySight, ca_file: Path) -> None:
    probe = shown_at(website(1, ca_file), sight, "127.0.0.1")
    assert probe is not None
    assert (await probe.take("website", sight)).state is State.DOWN


def test_other_checks_have_no_certificate_to_ask_for(sight: ToySight) -> None:
    assert shown_at(HttpProbe(url="http://10.77.0.100/"), sight, "127.0.0.1") is None
    believing = HttpProbe(url="https://www.example.cn/", verify=False)
    assert shown_at(believing, sight, "127.0.0.1") is None
    assert shown_at(PingProbe(address="10.77.0.100"), sight, "127.0.0.1") is None
