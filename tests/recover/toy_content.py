"""The content of toys: manifests, releases, and copies from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from failover.errors import ChangeFailed, Refused
from failover.servers.base import Answer
from tests.recover.toy_world import Host, World


class ToyContent:
    """What a toy answers and does about content."""

    world: World
    _name: str

    @property
    def host(self) -> Host:
        raise NotImplementedError

    def _ask_manifest(self, path: str) -> Answer:
        if path not in self.host.content:
            raise Refused(self._name, "no-such-path", f"there is no {path}")
        return {key: self.host.content[path][key] for key in ("digest", "files", "bytes")}

    def _ask_content(self, path: str, verify: bool = False, since: float = 0.0, **against: Any) -> Answer:
        if not against:
            return {"current": self.host.content.get(path), "releases": [], "staging": None}
        source = self.world.hosts[against["source"]]
        if not source.on or not self.world.reach(self._name, source.name):
            raise Refused(self._name, "source-unreachable", f"{source.name} can't be reached")
        if source.content[path]["digest"] != against["digest"]:
            raise Refused(self._name, "changed-during-copy", "the source changed")
        kept = self.host.releases.get(path) or [(0.0, self.host.content.get(path, {}))]
        here = files_of(next((content for at, content in reversed(kept) if at <= since), kept[0][1]))
        there = files_of(source.content[path])
        changed = {name for name in set(here) & set(there) if here[name] != there[name]}
        new = (set(there) - set(here)) | changed
        return {
            "added": len(new - changed), "changed": len(changed), "removed": len(set(here) - set(there)),
            "bytes": 10 * len(new), "of": None,
        }  # fmt: skip

    def _change_content(self, args: dict[str, Any]) -> Answer:
        source, path = self.world.hosts[args["source"]], args["path"]
        self.world.pass_time(0.05)
        if not source.on or not self.world.reach(self._name, source.name):
            raise ChangeFailed(self._name, "source-unreachable", f"{source.name} can't be reached")
        found = source.content[path]
        if found["digest"] != args["digest"]:
            raise ChangeFailed(self._name, "changed-during-copy", "the source changed")
        have = self.host.content.get(path, {"files": 0})
        if have["files"] and found["files"] < have["files"] * (1 - args["max_loss_percent"] / 100):
            raise Refused(self._name, "source-suspect", f"{found['files']} files instead of {have['files']}")
        if found["bytes"] > self.host.free_bytes:
            raise ChangeFailed(self._name, "no-space", "the disk is full")
        releases = self.host.releases.setdefault(path, [(0.0, self.host.content.get(path, {}))])
        releases.append((self.world.now().timestamp(), found))
        self.host.content[path] = {**found, "verified_at": self.world.now().isoformat(), "source": source.name}
        return {**found, "seconds": 0.05}


def files_of(content: Mapping[str, Any]) -> dict[str, str]:
    """By name, what stands in a file of some content; without names it is one file."""
    found: dict[str, str] = content.get("paths", {"index.html": content["digest"]} if content else {})
    return found
