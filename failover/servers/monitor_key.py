"""The monitor's own key pair for one server: made here, never sent anywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from failover.errors import FailoverError

KEYGEN_SECONDS = 30


class KeyTrouble(FailoverError):
    """The monitor's key for a server can't be made or used."""


def monitor_key(path: Path, comment: str) -> str:
    """The public half; the pair is made when there is none. It belongs to whom its folder belongs to.

    Raises:
        KeyTrouble: it can't be made or read.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
            subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=KEYGEN_SECONDS)
            if os.geteuid() == 0:
                folder = path.parent.stat()
                for half in (path, public_half(path)):
                    os.chown(half, folder.st_uid, folder.st_gid)
        return public_half(path).read_text().strip()
    except subprocess.CalledProcessError as error:
        raise KeyTrouble(f"ssh-keygen can't make {path}: {error.stderr.decode(errors='replace').strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KeyTrouble(f"the key {path} can't be had: {error}") from None


def key_drift(path: Path) -> str | None:
    """What is wrong with the key pair, or None."""
    if not path.exists() or not public_half(path).exists():
        return "is missing"
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return f"has mode {mode:04o}: others than its owner can read it"
    return None


def public_half(path: Path) -> Path:
    """``KEY.pub``."""
    return path.with_name(path.name + ".pub")
