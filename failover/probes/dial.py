"""Opens the one fresh connection that a look needs, to the first address of a name that answers."""

from __future__ import annotations

import asyncio
import socket

from failover.errors import Undecidable, Unhealthy
from failover.probes.base import track
from failover.probes.resolve import Family, SockAddress, resolve
from failover.probes.wire import Wire, judged

HEAD_START_SECONDS = 0.25
"""What an address gets before the next one of the same name is tried beside it (RFC 8305, 5)."""


async def dial(host: str, port: int, family: Family = "any", within_seconds: float | None = None) -> Wire:
    """A connection to ``host``; with several addresses, to the first of them that answers.

    Raises:
        Unhealthy: it refuses, resets, can't be reached, or took no connection ``within_seconds``.
        Undecidable: this machine is at fault: no name server, no route, no file descriptor.
    """
    done = track()
    done.enter("resolve")
    addresses = await resolve(host, port, family)
    done.enter("connect")
    opening = _open(addresses[0]) if len(addresses) == 1 else _first(addresses)
    if within_seconds is None:
        wire = await opening
    else:
        try:
            async with asyncio.timeout(within_seconds) as deadline:
                wire = await opening
        except TimeoutError:
            if not deadline.expired():
                raise
            raise Unhealthy(f"{spelled(host, port)} took no connection within {within_seconds:g} s") from None
    done.leave()
    return wire


def spelled(host: str, port: int) -> str:
    """``10.77.0.100:80`` or ``[fd77::100]:80``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _open(address: SockAddress) -> Wire:
    where = spelled(str(address[1][0]), int(address[1][1]))
    try:
        sock = socket.socket(address[0], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise judged(error, where) from error
    wire = Wire(sock, where)
    try:
        await wire.connect(address)
    except BaseException:
        wire.close()
        raise
    return wire


async def _first(addresses: list[SockAddress]) -> Wire:
    """Races the addresses of one name, each with a head start on the next."""
    waiting = list(addresses)
    running: set[asyncio.Task[Wire]] = set()
    failures: list[Unhealthy | Undecidable] = []
    won: Wire | None = None
    try:
        while won is None and (waiting or running):
            if waiting:
                running.add(asyncio.ensure_future(_open(waiting.pop(0))))
            patience = HEAD_START_SECONDS if waiting else None
            ended, running = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                try:
                    wire = task.result()
                except (Unhealthy, Undecidable) as error:
                    failures.append(error)
                    continue
                if won is None:
                    won = wire
                else:
                    wire.close()
    finally:
        for task in running:
            task.add_done_callback(_discard)
            task.cancel()
    if won is not None:
        return won
    # Theirs before ours: on a machine without IPv6 an IPv4 address that refuses is still a finding.
    theirs = [error for error in failures if isinstance(error, Unhealthy)]
    raise (theirs or failures)[0]


def _discard(task: asyncio.Task[Wire]) -> None:
    """A loser of the race may have connected in the same instant."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
