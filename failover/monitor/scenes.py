"""Builds the scene of a run from what the monitor knows; its callables may be called from the run's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError as FutureCancelled
from datetime import datetime

from failover.errors import NotFound
from failover.journal.database_view import Swap
from failover.model import Reading, RunKind, State, utc_now
from failover.monitor.pages import page, shown_at
from failover.monitor.setup import Setup
from failover.monitor.sight import SiteSight
from failover.probes.base import Probe
from failover.recover.copies import Copies
from failover.recover.databases import Restores
from failover.recover.fits import Fits
from failover.recover.scene import Page, RoleNow, Scene


class Scenes:
    """Makes scenes. ``newest``, ``silent_since`` and ``met`` are the monitor's; any thread may call them."""

    def __init__(
        self,
        setup: Setup,
        sight: SiteSight,
        holders: Callable[[], Mapping[str, str]],
        newest: Callable[[str], Reading | None],
        silent_since: Callable[[str], datetime | None],
        loop: asyncio.AbstractEventLoop,
        copies: Copies,
        witnesses: Callable[[], Mapping[str, bool | None]] = dict,
        restores: Restores | None = None,
        swap: Callable[[str], Swap | None] = lambda _role: None,
        frozen: Callable[[], str | None] = lambda: None,
        met: Callable[[str], bool] = lambda _server: True,
    ) -> None:
        self._setup = setup
        self._sight = sight
        self._holders = holders
        self._newest = newest
        self._silent_since = silent_since
        self._met = met
        self._loop = loop
        self._copies = copies
        self._witnesses = witnesses
        self._frozen = frozen
        self._restores = restores or Restores()
        self._swap = swap
        self._fits = Fits()

    def scene(self, role: str, kind: RunKind) -> Scene:
        """The world as a run that moves or keeps ``role`` sees it now.

        Raises:
            NotFound: the site has no such role.
        """
        setup = self._setup
        holders = dict(self._holders())
        if role not in setup.roles:
            raise NotFound(f"there is no role {role!r}; there are {', '.join(setup.roles)}")
        roles = {
            name: RoleNow(
                name, holders[name], its.other(holders[name]), its.addresses, its.path, its.database, its.unit
            )
            for name, its in setup.roles.items()
        }
        now = roles[role]
        keeps = kind is RunKind.KEEP
        return Scene(
            site=setup.site,
            kind=kind,
            role=now,
            old=now.standby if keeps else now.holder,
            new=now.holder if keeps else now.standby,
            roles=roles,
            addresses=setup.addresses,
            servers=setup.servers,
            hosts=setup.hosts,
            look=lambda check, server: self._look(role, check, server),
            newest=self._newest,
            page=lambda check, server: self._page(role, check, server),
            policy=setup.policy,
            certificate=lambda check, server: self._certificate(role, check, server),
            witnesses=self._witnesses,
            silent_since=self._silent_since,
            met=self._met,
            copies=self._copies,
            backups=setup.backups,
            frozen=self._frozen,
            restores=self._restores,
            fits=self._fits,
            swap=self._swap,
        )

    def _look(self, role: str, check: str, server: str) -> Reading:
        """Look now, from the loop, for a run that waits in its thread; a loop that doesn't turn is no evidence."""
        return self._take(self._setup.checks[check], role, check, server)

    def _certificate(self, role: str, check: str, server: str) -> Reading | None:
        probe = self._setup.checks.get(check)
        asked = shown_at(probe, self._sight.supposing(role, server), self._setup.hosts[server]) if probe else None
        return self._take(asked, role, check, server) if asked is not None else None

    def _take(self, probe: Probe, role: str, check: str, server: str) -> Reading:
        future = asyncio.run_coroutine_threadsafe(probe.take(check, self._sight.supposing(role, server)), self._loop)
        try:
            return future.result(probe.timeout + 5)
        except (TimeoutError, FutureCancelled):
            future.cancel()
            return Reading(check, State.UNKNOWN, "the monitor's own loop didn't get to look", utc_now())

    def _page(self, role: str, check: str, server: str) -> Page | None:
        probe = self._setup.checks.get(check)
        return page(probe, self._sight.supposing(role, server)) if probe is not None else None
