"""Looks names up without ever holding up the loop, and never counts a broken name server against a website.

``getaddrinfo`` can hang for half a minute and can't be stopped. In asyncio's own few threads six such calls freeze
everything else, so look-ups have threads of their own: bounded, shared by all who ask for the same name, and daemonic,
so that none of them delays the end of the program.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from functools import lru_cache
from typing import Any, Literal

from failover.errors import Undecidable

Family = Literal["any", "ipv4", "ipv6"]
SockAddress = tuple[int, tuple[Any, ...]]
"""Address family, and the address as ``socket.connect`` takes it."""

MOST_LOOKUPS = 32
_FAMILIES: dict[str, int] = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_Key = tuple[asyncio.AbstractEventLoop, str, int, Family]
_under_way: dict[_Key, asyncio.Future[list[SockAddress]]] = {}
_threads = threading.Semaphore(MOST_LOOKUPS)


@lru_cache(maxsize=4096)
def literal(host: str, port: int) -> SockAddress | None:
    """The address that ``host`` spells out, or None when it's a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None
    return found[0][0], found[0][4]


async def resolve(host: str, port: int, family: Family = "any") -> list[SockAddress]:
    """Every address of ``host``, best first.

    Raises:
        Undecidable: the name can't be looked up; that's the name server's fault or the config's, not the website's.
    """
    if found := literal(host, port):
        if family != "any" and found[0] != _FAMILIES[family]:
            raise Undecidable(f"{host} is no {family} address")
        return [found]
    loop = asyncio.get_running_loop()
    key: _Key = (loop, host, port, family)
    pending = _under_way.get(key)
    if pending is None:
        if not _threads.acquire(blocking=False):
            raise Undecidable(f"can't look up {host}: {MOST_LOOKUPS} look-ups hang already")
        pending = _under_way[key] = loop.create_future()
        pending.add_done_callback(lambda _: _under_way.pop(key, None))
        threading.Thread(target=_look_up, args=(key, pending), name=f"resolve {host}", daemon=True).start()
    try:
        return await asyncio.shield(pending)  # one that gives up must not take the answer from the others
    except socket.gaierror as error:
        raise Undecidable(f"can't look up {host}: {error.strerror}") from error
    except UnicodeError as error:
        raise Undecidable(f"can't look up {host}: it's no host name ({error})") from error


def _look_up(key: _Key, answer: asyncio.Future[list[SockAddress]]) -> None:
    loop, host, port, family = key
    result: list[SockAddress] = []
    failure: Exception | None = None
    try:
        found = socket.getaddrinfo(host, port, family=_FAMILIES[family], type=socket.SOCK_STREAM)
        result = [(each[0], each[4]) for each in found]
    except (OSError, UnicodeError) as error:
        failure = error
    finally:
        _threads.release()
    try:
        loop.call_soon_threadsafe(_settle, answer, result, failure)
    except RuntimeError:  # the loop was closed while the name server hung
        _under_way.pop(key, None)


def _settle(answer: asyncio.Future[list[SockAddress]], result: list[SockAddress], failure: Exception | None) -> None:
    if answer.done():
        return
    if failure is None:
        answer.set_result(result)
    else:
        answer.set_exception(failure)
        answer.exception()  # everyone who asked may have given up: then nobody is left to be told
