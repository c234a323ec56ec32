"""The process: signals, exit codes, and the order of the beginning and the end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from failover.daemon.build import Builder
from failover.daemon.daemon import Daemon
from failover.daemon.logs import set_up
from failover.daemon.places import Places
from failover.errors import ConfigError, JournalBroken, JournalError, JournalTooNew
from failover.journal.journal import Journal
from failover.model import Cause

log = logging.getLogger(__name__)

OK, BUG, CANT_CREATE, IO_ERROR, BAD_CONFIG = 0, 70, 73, 74, 78
"""Exit codes, after sysexits.h; systemd doesn't restart after 78."""


def run(places: Places, *, log_level: str = "info") -> int:
    """Run until told to stop; returns the exit code, with a sentence on stderr when it isn't 0."""
    set_up(log_level)
    os.umask(0o077)
    try:
        config = Builder(places).load()
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - one line for each problem, as check-config writes them
        return BAD_CONFIG
    try:
        journal = Journal.open((places.state or Path(config.common.store.path)) / "journal.db")
    except (JournalBroken, JournalTooNew) as error:
        log.critical("%s", error)
        return IO_ERROR
    except JournalError as error:
        log.critical("%s", error)
        return CANT_CREATE
    with journal:
        return asyncio.run(_serve(lambda fail: Daemon(config, places, journal, fail)))


async def _serve(make: Callable[[Callable[[BaseException], None]], Daemon]) -> int:
    """From the first to the last moment on the loop."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[str] = loop.create_future()

    def fail(error: BaseException) -> None:
        if not over.done():
            over.set_exception(error)

    def told(name: str) -> None:
        if not over.done():
            over.set_result(f"{name} came")

    daemon = make(fail)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number.name)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload(daemon))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)  # one that comes early waits until the start is done
    try:
        await daemon.start()
        reason, code = await over, OK
    except OSError as error:
        log.critical("%s: %s", error.filename or "a socket", error.strerror or error)
        reason, code = f"it could not start: {error}", CANT_CREATE
    except JournalError as error:
        log.critical("%s", error)
        reason, code = str(error), IO_ERROR
    except Exception as error:  # a part that broke: systemd starts us anew, and the journal says why
        log.critical("a part of the daemon broke", exc_info=error)
        reason, code = f"a bug: {type(error).__name__}: {error}", BUG
    loop.remove_signal_handler(signal.SIGHUP)
    await daemon.stop(reason)
    return code


async def _reload(daemon: Daemon) -> None:
    try:
        log.info("%s", await daemon.reload(Cause("daemon", "SIGHUP came")))
    except ConfigError:
        pass  # logged, journaled and told already; the old config stays
    except Exception:  # a reload by a signal has no caller to tell, and must not end what watches
        log.exception("the config could not be read again, by a bug; the old one stays")
