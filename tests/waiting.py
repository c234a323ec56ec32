"""Waiting for what other processes and threads do."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(true: Callable[[], object], within: float = 20) -> None:
    """Until something is so; fails when it isn't within so many seconds, which are many more than a good day takes."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"not so within {within:g} s"
        time.sleep(0.01)
