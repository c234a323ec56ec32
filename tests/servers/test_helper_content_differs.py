"""What changed since a server had the content, counted without copying anything."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from tests.servers.content_site import tree
from tests.servers.speak import Speaker, kind
from tests.servers.two_servers import TwoServers

pytestmark = pytest.mark.lab


def compared(two: TwoServers, puller: Speaker, **more: Any) -> dict[str, Any]:
    has = two.manifest()
    wanted = {key: has[key] for key in ("digest", "files")}
    reply = puller.ask("content", path=str(two.path), source="wcm", **wanted, **more)
    assert "result" in reply, reply
    result: dict[str, Any] = reply["result"]
    return result


def counts(told: dict[str, Any]) -> tuple[int, ...]:
    return tuple(told[key] for key in ("added", "changed", "removed", "bytes"))


def test_what_differs_from_the_source_is_counted_and_nothing_is_copied(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    assert counts(compared(two, puller)) == (0, 0, 0, 0)
    (two.source / "page/new.html").write_text("brand new")
    (two.source / "page/0.html").write_text("another")
    (two.source / "page/1.html").unlink()
    os.chmod(two.source / "page/2.html", 0o600)
    before = tree(two.path)
    assert counts(compared(two, puller)) == (1, 1, 1, len("brand new") + len("another"))
    assert tree(two.path) == before


def test_what_was_copied_ahead_meanwhile_still_counts_as_changed_since(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    time.sleep(0.01)
    left = time.time()
    (two.source / "page/new.html").write_text("brand new")
    two.sync(puller)
    assert counts(compared(two, puller)) == (0, 0, 0, 0)
    assert counts(compared(two, puller, since=left)) == (1, 0, 0, len("brand new"))


def test_what_its_own_server_wrote_into_it_is_seen_too(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    (two.path / "upload.jpg").write_bytes(b"x" * 100)
    assert counts(compared(two, puller)) == (0, 0, 1, 0)


def test_a_plain_folder_and_none_at_all_are_compared(two: TwoServers, puller: Speaker) -> None:
    assert counts(compared(two, puller))[:3] == (22, 0, 0)
    two.path.mkdir()
    (two.path / "build-id").write_text("older")
    assert counts(compared(two, puller, since=time.time()))[:3] == (21, 1, 0)


def test_what_cannot_be_compared_is_refused(two: TwoServers, puller: Speaker) -> None:
    ask: dict[str, Any] = {"path": str(two.path), "digest": "0" * 64, "files": 3}
    assert kind(puller.ask("content", **ask)) == ("bad-request", False)
    assert kind(puller.ask("content", source="moon", **ask)) == ("not-in-policy", False)
    assert kind(puller.ask("content", source="wcm", **ask)) == ("changed-during-copy", False)
