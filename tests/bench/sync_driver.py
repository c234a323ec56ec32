"""Runs on the lab's monitor host, piped to its python3: copies content as the daemon does, over its own warm sessions.

Reads orders, JSON lines, from stdin and answers each by one: ``{"do": "sync", "run": 7}`` asks what a server has and
what its source has, and has it copied if the two differ: what the step ``content_synced`` asks, in its order.
"""

import json
import sys
import time
from pathlib import Path

from failover.daemon.build import Builder
from failover.daemon.places import Places
from failover.errors import FailoverError
from failover.model import Token
from failover.servers.base import Servers

PATH = "/srv/site"


def sync(servers: Servers, run: int) -> dict[str, object]:
    began = time.monotonic()
    current = servers["web-backup"].ask("content", path=PATH).get("current") or {}
    asked = time.monotonic()
    wanted = servers["wcm"].ask("manifest", within_seconds=300, path=PATH)
    known = time.monotonic()
    answer: dict[str, object] = {}
    if current.get("digest") != wanted["digest"]:
        args = {
            "path": PATH, "want": "synced", "source": "wcm", "keep": 5, "max_loss_percent": 20, "switch": True,
            **{key: wanted[key] for key in ("digest", "files", "bytes")},
        }  # fmt: skip
        answer = servers["web-backup"].change("content", args, token=Token(1, run), within_seconds=600)
    ended = time.monotonic()
    return {
        "seconds": ended - began, "content_seconds": asked - began, "manifest_seconds": known - asked,
        "copy_seconds": ended - known, "fetched": answer.get("fetched_files", 0), "files": wanted["files"],
    }  # fmt: skip


def main() -> None:
    builder = Builder(Places(config=Path("/etc/failover/failover.yaml"), state=None, socket=None, listen=None))
    config = builder.load()
    furniture = builder.furnish(config, config.sites[0])
    servers = furniture.setup.servers
    for line in sys.stdin:
        order = json.loads(line)
        try:
            for name in ("wcm", "web-backup"):
                servers[name].ask("facts", within_seconds=20, sections=["token"])  # the session is warm, as all day
            answer = sync(servers, order["run"])
        except FailoverError as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    furniture.close()


main()
