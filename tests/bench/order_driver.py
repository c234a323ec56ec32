"""Runs on the lab's monitor host, piped to its python3: gives helpers orders as the daemon does, over its sessions.

Reads orders, JSON lines, from stdin and answers each by one: ``{"server": .., "verb": .., "args": {..}, "run": 7,
"within": 600}``; ``{"answer": .., "seconds": ..}`` or ``{"error": ..}``.
"""

import json
import sys
import time
from pathlib import Path

from failover.daemon.build import Builder
from failover.daemon.places import Places
from failover.errors import FailoverError
from failover.model import Token


def main() -> None:
    builder = Builder(Places(config=Path("/etc/failover/failover.yaml"), state=None, socket=None, listen=None))
    config = builder.load()
    furniture = builder.furnish(config, config.sites[0])
    servers = furniture.setup.servers
    for line in sys.stdin:
        order = json.loads(line)
        server = servers[order["server"]]
        try:
            server.ask("facts", within_seconds=20, sections=["token"])  # the session is warm, as all day
            began = time.monotonic()
            answer = server.change(
                order["verb"], order["args"], token=Token(1, order["run"]), within_seconds=order["within"]
            )
            said = {"answer": answer, "seconds": time.monotonic() - began}
        except FailoverError as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)
    furniture.close()


main()
