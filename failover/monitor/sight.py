"""What a probe may use of the world, from the monitor's own knowledge; questions to servers go through threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self

from failover.backups import BackupSet
from failover.monitor.setup import Setup

ASKS_AT_ONCE = 32


class Asker:
    """Asks servers from the loop, in threads of its own: a server that hangs takes one of them, for a bounded time."""

    def __init__(self, setup: Setup) -> None:
        self._servers = setup.servers
        workers = min(ASKS_AT_ONCE, 2 * len(setup.servers) + 2)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=f"ask-{setup.site}")

    async def ask(self, server: str, verb: str, within_seconds: float, **args: Any) -> dict[str, Any]:
        """The helper's answer; raises the errors of :meth:`failover.servers.base.Server.ask`."""
        call = partial(self._servers[server].ask, verb, within_seconds=within_seconds, **args)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Wait for nobody: every question ends by its own deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class SiteSight:
    """The site as a probe sees it (:class:`failover.probes.base.Sight`)."""

    def __init__(
        self,
        setup: Setup,
        holders: Callable[[], Mapping[str, str]],
        asker: Asker,
        own_fault: Callable[[], str | None],
    ) -> None:
        self._setup = setup
        self._holders = holders
        self._asker = asker
        self._own_fault = own_fault

    def supposing(self, role: str, server: str) -> Self:
        """The same, as if ``server`` held ``role``: runs look at the new holder before it is one."""
        holders = self._holders
        return type(self)(self._setup, lambda: {**holders(), role: server}, self._asker, self._own_fault)

    def holder(self, role: str) -> str:
        """The server that holds ``role`` now."""
        return self._holders()[role]

    def address_of(self, server: str) -> str:
        """The IP at which the monitor reaches ``server``."""
        return self._setup.hosts[server]

    def service_address(self, name: str) -> tuple[str, str | None]:
        """The IP of a service address, and the server that should answer for it."""
        role = next((role for role, its in self._setup.roles.items() if name in its.addresses), None)
        return self._setup.addresses[name].host, self.holder(role) if role else None

    def backup_set(self, name: str) -> BackupSet:
        """The settings of a backup set."""
        return self._setup.backups[name]

    async def ask(self, server: str, verb: str, within_seconds: float, **args: Any) -> dict[str, Any]:
        """The helper's answer."""
        return await self._asker.ask(server, verb, within_seconds, **args)

    def own_fault(self) -> str | None:
        """Why this monitor can't be trusted to judge at the moment, or None."""
        return self._own_fault()
