"""Requests a page again and again, each time over a new connection, and prints what came of it, as JSON lines.

usage: visit.py ADDRESS PORT EVERY_SECONDS TIMEOUT_SECONDS HOST PATH...      (the paths are visited in turn)
``{"began": .., "ended": .., "path": .., "status": 200, "by": "web", "builds": ["build-1"], "bytes": 2533}``; a request
that failed has ``error`` instead of a status. Requests don't wait for each other: a slow one delays none.
"""

import asyncio
import itertools
import json
import sys
import time

AT_ONCE = 400
BODY_LIMIT = 4_000_000


async def request(address: str, port: int, host: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """One GET: (status, headers, body)."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        want = headers.get("content-length")
        body = await reader.read(BODY_LIMIT) if want is None else await reader.readexactly(min(int(want), BODY_LIMIT))
        return int(head[0].split()[1]), headers, body
    finally:
        writer.close()


def builds(path: str, body: bytes) -> list[str]:
    """Every build that the body claims to be from; ``?`` if a page lacks its last line."""
    lines = body.decode(errors="replace").splitlines()
    if path.endswith("build-id"):
        return [line.strip() for line in lines] or ["?"]
    marks = [line.startswith("<!-- build ") and line.endswith(" -->") for line in lines]
    if not marks or not marks[0]:
        return []
    found = {line.split()[2] for line, is_mark in zip(lines, marks, strict=True) if is_mark}
    return sorted(found if len(marks) > 1 and marks[-1] else found | {"?"})


async def visit(address: str, port: int, limit_seconds: float, host: str, path: str) -> None:
    """One request, bounded in time, and its line."""
    line: dict[str, object] = {"began": time.time(), "path": path}
    try:
        async with asyncio.timeout(limit_seconds):
            status, headers, body = await request(address, port, host, path)
        line |= {
            "status": status,
            "by": headers.get("x-served-by", ""),
            "bytes": len(body),
            "builds": builds(path, body),
        }
    except (OSError, EOFError, TimeoutError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
        line["error"] = type(error).__name__ + (f": {error}" if str(error) else "")
    line["ended"] = time.time()
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Keep the rhythm; drop a beat rather than have more than `AT_ONCE` requests under way."""
    address, port, host = sys.argv[1], int(sys.argv[2]), sys.argv[5]
    every, limit_seconds = float(sys.argv[3]), float(sys.argv[4])
    paths = itertools.cycle(sys.argv[6:])
    running: set[asyncio.Task[None]] = set()
    due = time.monotonic()
    while True:
        if len(running) < AT_ONCE:
            task = asyncio.create_task(visit(address, port, limit_seconds, host, next(paths)))
            running.add(task)
            task.add_done_callback(running.discard)
        due = max(due + every, time.monotonic() - 1)
        await asyncio.sleep(max(0.0, due - time.monotonic()))


asyncio.run(main())
