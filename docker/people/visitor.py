"""Asks for the page all the time and says what changes; passes a browser's connections on to the site.

usage: visitor.py ADDRESS:PORT [PORT=ADDRESS:PORT]...      (asks the first, listens on each further port)
"""

import asyncio
import contextlib
import sys
import time

EVERY_SECONDS = 0.1
LIMIT_SECONDS = 1.0
MOST_CONNECTIONS = 200
CHUNK_BYTES = 65536


async def ask(host: str, port: int) -> str:
    """Who serves the page, or why nobody does."""
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            finally:
                writer.close()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        return f"{' '.join(head[0].split()[1:])} from {headers.get('x-served-by', 'an unnamed server')}"
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        return f"no page: {error or type(error).__name__}"


async def look(host: str, port: int) -> None:
    """Print each change, and how long it was otherwise."""
    saw, since = "", time.monotonic()
    while True:
        began = time.monotonic()
        sees = await ask(host, port)
        if sees != saw:
            lasted = f" (for {began - since:.1f} s before: {saw})" if saw else ""
            sys.stdout.write(f"{time.strftime('%H:%M:%S')} {host} {sees}{lasted}\n")
            saw, since = sees, began
        await asyncio.sleep(max(0.0, EVERY_SECONDS - (time.monotonic() - began)))


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """From one end to the other, until one of them has had enough."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def listen(port: int, host: str, there: int) -> asyncio.Server:
    """Pass connections to a port of ours on, not more than so many at once."""
    room = asyncio.Semaphore(MOST_CONNECTIONS)

    async def passes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with room:
            try:
                async with asyncio.timeout(LIMIT_SECONDS):
                    back, forth = await asyncio.open_connection(host, there)
            except OSError:
                writer.close()
                return
            await asyncio.gather(carry(reader, forth), carry(back, writer))

    return await asyncio.start_server(passes, "0.0.0.0", port)  # noqa: S104 - the engine publishes ports from outside


async def main(watched: str, *passed: str) -> None:
    """Look, and pass on, until ended."""
    servers = []
    for word in passed:
        port, _, there = word.partition("=")
        servers.append(await listen(int(port), there.partition(":")[0], int(there.partition(":")[2])))
    await look(watched.partition(":")[0], int(watched.partition(":")[2]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
