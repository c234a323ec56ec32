from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.content_site import puller  # noqa: F401 - a fixture
from tests.servers.databases_mariadb import maria, running  # noqa: F401 - fixtures
from tests.servers.databases_postgresql import made, server  # noqa: F401 - fixtures
from tests.servers.helper_fixtures import home, segment, speak, syslog, two  # noqa: F401 - fixtures
from tests.servers.sshd import Sshd


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A running sshd whose key is pinned and whose forced command is the toy helper."""
    one = Sshd(tmp_path)
    one.pin()
    one.allow(one.key.with_suffix(".pub"))
    one.start()
    yield one
    one.thaw()
    one.stop()
