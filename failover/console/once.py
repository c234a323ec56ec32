"""A request that is sent twice acts once: the ``Idempotency-Key`` header and its memory."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from failover.console.problem import Problem

KEEP_SECONDS = 86_400.0
KEEP_MOST = 1_000


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: str
    until: float
    answer: asyncio.Future[Response]


class Once:
    """Remembers answers by person and key. The same key with another body is a mistake and acts not at all.

    It forgets at a restart; runs don't rely on it (one runs at a time, and a finished one leaves nothing to do).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def answer(
        self, person: str, key: str | None, request: bytes, act: Callable[[], Awaitable[Response]]
    ) -> Response:
        """What ``act`` answers, or answered the first time."""
        if key is None:
            return await act()
        if not 1 <= len(key) <= 200 or not key.isprintable():
            raise Problem(422, "invalid", "Idempotency-Key: 1 to 200 printable characters, please")
        self._forget()
        fingerprint = hashlib.sha256(request).hexdigest()
        kept = self._kept.get((person, key))
        if kept is not None:
            if kept.fingerprint != fingerprint:
                raise Problem(422, "key-reused", f"Idempotency-Key {key!r} was used for another request already")
            return await asyncio.shield(kept.answer)
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._kept[person, key] = _Kept(fingerprint, self._clock() + KEEP_SECONDS, future)
        try:
            response = await act()
        except BaseException as error:
            del self._kept[person, key]  # nothing was answered, so the same key may try again
            if isinstance(error, Exception):
                future.set_exception(error)
                future.exception()  # marks it as seen: nobody else may be waiting
            else:
                future.cancel()
            raise
        future.set_result(response)
        return response

    def _forget(self) -> None:
        now = self._clock()
        while self._kept:
            first = next(iter(self._kept))
            if self._kept[first].until > now and len(self._kept) < KEEP_MOST:
                return
            del self._kept[first]
