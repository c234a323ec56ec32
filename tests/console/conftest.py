from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from failover.console.app import Api
from failover.console.listen import Listener, unix_socket
from tests.console.toy_desk import ToyDesk


@pytest.fixture
def desk() -> ToyDesk:
    return ToyDesk()


@pytest.fixture
async def socket_path(tmp_path: Path, desk: ToyDesk) -> AsyncIterator[Path]:
    """The API on a real UNIX socket."""
    threads = ThreadPoolExecutor(16)
    path = tmp_path / "api.sock"
    listener = Listener(Api(desk, threads).app(), unix_socket(path))
    await listener.ready()
    yield path
    desk.go_on.set()
    await listener.stop()
    threads.shutdown()
