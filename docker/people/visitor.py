"""Asks for pages all the time and says what changes; passes a browser's connections on to the site.

usage: visitor.py ADDRESS:PORT/PATH... [PORT=ADDRESS:PORT]...      (asks for each path, listens on each port)
"""

import asyncio
import contextlib
import sys
import time

LIMIT_SECONDS = 1.0
LIMIT_QUERY_SECONDS = 5.0  # a page that asks the database is slower on an ordinary day
ASKS = 10  # so many within a limit
MOST_CONNECTIONS = 200
CHUNK_BYTES = 65536


async def ask(host: str, port: int, path: str, limit: float) -> str:
    """Who serves the page, or why nobody does."""
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            finally:
                writer.close()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        return f"{' '.join(head[0].split()[1:])} from {headers.get('x-served-by', 'an unnamed server')}"
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        return f"no page: {str(error) or type(error).__name__}"


async def look(host: str, port: int, path: str) -> None:
    """Print each change, and how long it was otherwise."""
    limit = LIMIT_SECONDS if path == "/" else LIMIT_QUERY_SECONDS
    saw, since = "", time.monotonic()
    while True:
        began = time.monotonic()
        sees = await ask(host, port, path, limit)
        # Why there is no page changes from one moment to the next, without being anything new.
        if sees.partition(":")[0] != saw.partition(":")[0]:
            lasted = f" (for {began - since:.1f} s before: {saw})" if saw else ""
            sys.stdout.write(f"{time.strftime('%H:%M:%S')} {host}{path} {sees}{lasted}\n")
            saw, since = sees, began
        await asyncio.sleep(max(0.0, limit / ASKS - (time.monotonic() - began)))


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


async def main(*words: str) -> None:
    """Look, and pass on, until ended."""
    servers, looks = [], []
    for word in words:
        port, _, there = word.rpartition("=")
        host, _, rest = there.partition(":")
        number, slash, path = rest.partition("/")
        if port:
            servers.append(await listen(int(port), host, int(number)))
        else:
            looks.append(look(host, int(number), slash + path))
    await asyncio.gather(*looks)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
