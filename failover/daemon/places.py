"""Where the daemon's things are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The config's file, and what the command line gives in place of what the config says."""

    config: Path
    state: Path | None = None
    """The folder of the journal."""
    socket: Path | None = None
    listen: str | None = None
    """The loopback address for monitoring."""
