"""A copy that is cut off at any moment: the site is whole, and the next call finishes."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.servers.content_site import fill, leftovers, tree
from tests.servers.speak import Speaker, kind
from tests.servers.two_servers import TwoServers

pytestmark = pytest.mark.lab


def test_killed_at_any_moment_the_site_is_whole_and_the_next_call_finishes(two: TwoServers) -> None:
    """C2, I6: kill -9 of the helper and of all its work at random moments."""
    fill(two.source, "build-1", files=300)
    with two.speaker() as puller:
        began = time.monotonic()
        assert "result" in two.sync(puller)
        whole = time.monotonic() - began
    rng = random.Random(7)  # noqa: S311 - the same moments every time
    for build in range(2, 9):
        old = tree(two.path)
        fill(two.source, f"build-{build}", files=300 + build)
        new = tree(two.source)
        manifest = two.manifest()
        for _ in range(3):
            puller = two.speaker()
            puller.send(puller.stamped("content", two.wish(manifest, keep=3), 60))
            time.sleep(rng.uniform(0.0, whole))
            puller.process.send_signal(signal.SIGKILL)
            puller.hang_up()
            seen = tree(two.path)
            assert seen in (old, new)
        with two.speaker() as puller:
            assert "result" in two.sync(puller, manifest, keep=3)
            assert tree(two.path) == new
            assert puller.ask("content", path=str(two.path), verify=True)["result"]["current"]["intact"]
        assert not leftovers(two)


def test_what_a_killed_copy_was_fetching_goes_also_when_nothing_is_missing_any_more(
    two: TwoServers, puller: Speaker
) -> None:
    assert "result" in two.sync(puller)
    incoming = Path(f"{two.path}.releases/.incoming")
    incoming.mkdir(mode=0o700)
    (incoming / "page").mkdir()
    (incoming / "page/0.html").write_text("half")
    assert two.sync(puller)["result"]["fetched_files"] == 0
    assert not leftovers(two)


def test_past_its_deadline_nothing_is_switched(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    for number in range(200):
        (two.source / f"page/big-{number}").write_bytes(os.urandom(200_000))
    reply = puller.change("content", two.wish(), seconds=0.7)
    assert kind(reply)[0] == "past-deadline"
    assert (two.path / "build-id").read_text() == "build-1"
    assert not (two.path / "page/big-1").exists()
    assert "result" in two.sync(puller)
    assert tree(two.path) == tree(two.source)


def test_progress_is_told(two: TwoServers, puller: Speaker) -> None:
    for number in range(300):
        (two.source / f"page/big-{number}").write_bytes(os.urandom(100_000))
    number = puller.send(puller.stamped("content", two.wish(), 60))
    assert "result" in puller.reply(number)
    told = [line["progress"] for line in puller.lines if line["id"] == number]
    assert any(line["phase"] == "copying" and line["bytes"] > 0 for line in told)


def test_a_copy_that_a_power_cut_may_have_torn_isnt_called_verified(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    (record,) = two.to_home.state.glob("releases/*/*.json")
    deadline = time.monotonic() + 60
    while not json.loads(record.read_text())["on_disk"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert puller.ask("content", path=str(two.path))["result"]["current"]["digest"]
    torn = {**json.loads(record.read_text()), "on_disk": False, "boot_id": "another"}
    record.write_text(json.dumps(torn))
    assert puller.ask("content", path=str(two.path))["result"]["current"]["digest"] is None
