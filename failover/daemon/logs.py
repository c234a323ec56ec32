"""Logs to stderr: journald's priorities where it listens (sd-daemon(3)), plain lines with the time elsewhere."""

from __future__ import annotations

import logging
import os
import sys

_PRIORITY = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))
QUIET = {
    "paramiko": logging.ERROR,
    "apscheduler": logging.WARNING,
    "uvicorn": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "asyncio": logging.WARNING,
}
"""Libraries that say more than anybody wants to read, or that log URLs."""


class JournaldFormatter(logging.Formatter):
    """``<4>name: message``; each line of a traceback with the same priority."""

    def format(self, record: logging.LogRecord) -> str:
        """See :class:`logging.Formatter`."""
        priority = next((number for level, number in _PRIORITY if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def set_up(level: str) -> None:
    """For the whole process."""
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(JournaldFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(least, getattr(logging, level.upper())))
