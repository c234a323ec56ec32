"""What the daemon leaves out of memory: parts of libraries that serve their own command lines and nothing of ours."""

from __future__ import annotations

import sys

NOT_OURS = (
    "httpx._main",  # httpx's command line, with click, rich and pygments
    "invoke",  # for paramiko's `Match exec` in ssh_config files, which we never read; with unittest.mock
)
"""Modules whose importers do without them when they aren't there; 6 MB of a daemon at rest."""


def leave_out() -> None:
    """Let an import of these fail as if they weren't installed; to be called before anything else is imported.

    For the daemon's process only: it changes what every later import there finds.
    """
    for name in NOT_OURS:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # None is how it's barred
