"""The daemon: journal, outbox, houses, listeners, in the order in which they begin and end. It decides nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from failover import __version__
from failover.config.config import Config
from failover.console.app import Api
from failover.console.listen import Listener, tcp_socket, unix_socket
from failover.console.public import public_app
from failover.daemon import systemd
from failover.daemon.build import Builder, Furniture
from failover.daemon.desk import TheDesk
from failover.daemon.house import House
from failover.daemon.places import Places
from failover.daemon.pulse import Pulse
from failover.daemon.snapshots import snapshot
from failover.errors import ConfigError, FailoverError, JournalError
from failover.journal.journal import Journal
from failover.metrics import Tally, make_registry
from failover.model import Cause, utc_now
from failover.monitor.crier import Crier
from failover.notify.outbox import Outbox
from failover.probes import SelfWatch

log = logging.getLogger(__name__)

T = TypeVar("T")
CONSOLE_THREADS = 8
REST_SECONDS = 15.0
"""How long a run may take to come to rest; a change that takes longer is left to its own deadline."""


class Daemon:
    """One process. :meth:`start`, :meth:`reload`, :meth:`stop` on the loop; what the desk asks, from any thread."""

    def __init__(
        self,
        config: Config,
        places: Places,
        journal: Journal,
        fail: Callable[[BaseException], None],
        builder: Builder | None = None,
    ) -> None:
        self.version = __version__
        self.places = places
        self.journal = journal
        self.started_at = self.loaded_at = utc_now()
        self.config_sha256 = config.sha256
        self.refused: tuple[str, ...] = ()
        self.houses: dict[str, House] = {}
        self._config = config
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="daemon")
        self._console_threads = ThreadPoolExecutor(CONSOLE_THREADS, thread_name_prefix="console")
        self._tally = Tally()
        self._self_watch = SelfWatch()
        self._builder = builder or Builder(places)
        self.outbox = Outbox(self._builder.channels(config), journal)
        self._crier = Crier(journal, self.outbox)
        self._listeners: list[Listener] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._reloading = asyncio.Lock()
        self._old: list[Furniture] = []
        self._pulse = Pulse(journal, self._stuck, self.status_line)

    async def start(self) -> None:
        """Take the sockets, begin to watch, take up runs that weren't ended. Raises OSError, JournalUnwritable."""
        async with self._reloading:
            await self._start()

    async def _start(self) -> None:
        epoch = await self._in_thread(self.journal.begin_epoch)
        data = {"version": self.version, "epoch": epoch, "config_sha256": self.config_sha256}
        await self._write("daemon.started", data)
        await self._write("config.loaded", {"sha256": self.config_sha256, "path": str(self.places.config)})
        self.journal.subscribe(self._tally.heard)
        self._crier.start()
        self._task(self._self_watch.run(), "self-watch")
        for site in self._config.sites:
            await self._open(self._builder.furnish(self._config, site))
        await self._listen()
        for house in self.houses.values():
            for number in await self._in_thread(house.runner.recover_unfinished):
                log.warning("run %d of %s is taken up again", number, house.name)
        self._task(self._pulse.run(), "pulse")
        systemd.ready(self.status_line())
        log.info("epoch %d: %s", epoch, self.status_line())

    async def reload(self, cause: Cause) -> str:
        """Read the config again; returns what came of it. A bad one changes nothing.

        Raises:
            ConfigError: it is bad; the old one stays.
        """
        async with self._reloading:
            systemd.reloading("reading the config again")
            try:
                return await self._reload(cause)
            finally:
                systemd.ready(self.status_line())

    def reload_from_thread(self, cause: Cause) -> str:
        """The same for callers in other threads."""
        return asyncio.run_coroutine_threadsafe(self.reload(cause), self._loop).result(60)

    async def stop(self, reason: str) -> None:
        """Let runs come to rest, tell what is to be told, write the last line, let go of everything."""
        systemd.stopping(reason)
        systemd.extend_timeout(REST_SECONDS + 30)
        for listener in self._listeners:
            await listener.stop()
        rested = [
            await self._in_thread(partial(house.runner.under_way.close, REST_SECONDS)) for house in self.houses.values()
        ]
        runs = [
            run.number for house in self.houses.values() for run in house.view.runs.unfinished if not run.state.ended
        ]
        for house in self.houses.values():
            await house.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._crier.stop()
        await self._in_thread(self.outbox.close)
        data = {"reason": reason, "runs_resting": runs, "all_rested": all(rested)}
        try:
            await self._write("daemon.stopped", data)
        except JournalError as error:
            log.error("the last line can't be written: %s", error)
        for furniture in (*self._old, *self._builder.current.values()):
            furniture.close()
        self._console_threads.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(wait=False)

    def not_ready(self) -> list[str]:
        """Why this monitor can't do its work now; for ``/readyz``."""
        reasons = self._pulse.troubles()
        if fault := self._self_watch.own_fault():
            reasons.append(f"the monitor can't judge: {fault}")
        if trouble := self.journal.trouble:
            reasons.append(f"the journal can't be written: {trouble}")
        for house in self.houses.values():
            reasons += [f"run {number} of {house.name} {why}" for number, why in house.runner.under_way.stuck().items()]
        return reasons

    def status_line(self) -> str:
        """One line for systemd."""
        parts = [f"config refused: {self.refused[0]}"] if self.refused else []
        for house in self.houses.values():
            monitor = house.monitor
            standings = [health.standing for health in monitor.checks.healths.values()]
            up = sum(standing == "up" for standing in standings)
            parts.append(f"{house.name}: {up} of {len(standings)} checks up")
            parts += [f"{role} held by {holder}" for role, holder in monitor.view.holders.items()
                      if holder != house.setup.roles[role].home]  # fmt: skip
            if run := monitor.view.run:
                parts.append(f"run {run.number} is {run.state}")
        return "; ".join(parts)

    def channel_kind(self, name: str) -> str:
        """The kind of a channel of the config in use."""
        channel = self._config.common.channels.get(name)
        return channel.kind if channel is not None else ""

    async def _reload(self, cause: Cause) -> str:
        try:
            config = await self._in_thread(self._builder.load)
            furnitures = [self._builder.furnish(config, site) for site in config.sites]
        except ConfigError as error:
            self.refused = error.problems
            log.error("the new config is refused, the old one stays: %s", error)
            await self._try_write("config.refused", {"problems": list(error.problems)}, cause.by)
            raise
        self.refused = ()
        if config.sha256 == self.config_sha256:
            return "the config is the same; nothing changed"
        self._config, self.config_sha256, self.loaded_at = config, config.sha256, utc_now()
        await self._try_write("config.loaded", {"sha256": config.sha256, "path": str(self.places.config)}, cause.by)
        await self._in_thread(lambda: self.outbox.replace(self._builder.channels(config)))
        for name in [name for name in self.houses if name not in {one.setup.site for one in furnitures}]:
            house = self.houses.pop(name)
            await self._in_thread(partial(house.runner.under_way.close, REST_SECONDS))
            await house.close()
        for furniture in furnitures:
            await self._open(furniture)
        return f"the config with sha256 {config.sha256[:12]} is in use"

    async def _open(self, furniture: Furniture) -> None:
        name = furniture.setup.site
        if (house := self.houses.get(name)) is not None:
            old = self._builder.current[name]
            await house.refurnish(furniture.title, furniture.setup)
            self._retire(house, old, furniture)
        else:
            house = House(
                furniture.title, furniture.setup, self.journal, self._crier, self._tally,
                self._self_watch.own_fault, self._fail, self._threads,
            )  # fmt: skip
            await house.open()
            self.houses[name] = house
        self._builder.current[name] = furniture

    def _retire(self, house: House, old: Furniture, new: Furniture) -> None:
        """Sessions that nothing uses any more are ended; one that a run may still use, with the daemon."""
        if house.runner.under_way.current() is not None:
            self._old.append(old.without(new))
        else:
            threading.Thread(target=old.without(new).close, name="retire", daemon=True).start()

    async def _listen(self) -> None:
        api = Api(TheDesk(self), self._console_threads).app()
        sock = await self._in_thread(
            lambda: unix_socket(self.places.socket or Path(self._config.common.console.socket))
        )
        self._listeners.append(Listener(api, sock))
        if (listen := self.places.listen or self._config.common.console.listen) is not None:
            host, _, port = listen.rpartition(":")
            registry = make_registry(lambda: snapshot(self), self._tally)
            app = public_app(registry, self.not_ready, self._console_threads, version=self.version)
            self._listeners.append(Listener(app, tcp_socket(host.strip("[]"), int(port))))
        for listener in self._listeners:
            await listener.ready()

    def _stuck(self) -> list[str]:
        return [f"{house.name}: {why}" for house in self.houses.values() for why in house.monitor.stuck()]

    def _task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(
            lambda done: None if done.cancelled() else self._fail(done.exception() or RuntimeError(name))
        )
        self._tasks.append(task)

    async def _write(self, kind: str, data: dict[str, object], by: str = "daemon") -> None:
        await self._in_thread(lambda: self.journal.append(kind, by=by, data=data))

    async def _try_write(self, kind: str, data: dict[str, object], by: str) -> None:
        try:
            await self._write(kind, data, by)
        except FailoverError as error:
            log.error("not in the journal: %s: %s", kind, error)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._threads, call)
