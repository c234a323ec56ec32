"""The monitor's own key pair for one server: made here, never sent anywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from failover.errors import FailoverError

KEYGEN_SECONDS = 30
TOO_OPEN = 0o037
"""Bits that a private key's mode may not have: its group may read it, which is the daemon's group."""
OPEN_TO_WHOM = "others can read it, or its group can write it; make it 0640, or 0600"


class KeyTrouble(FailoverError):
    """The monitor's key for a server can't be made or used."""


def monitor_key(path: Path, comment: str) -> str:
    """The public half; the pair is made when there is none.

    Made by root it belongs to the owner and group of the folder of keys, and that group may read it: the daemon's
    group, so that the daemon uses keys which only root can change.

    Raises:
        KeyTrouble: it can't be made or read.
    """
    try:
        if not path.exists():
            _make_folder(path.parent)
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
            subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=KEYGEN_SECONDS)
            if os.geteuid() == 0:
                folder = path.parent.stat()
                for half in (path, public_half(path)):
                    os.chown(half, folder.st_uid, folder.st_gid)
                path.chmod(0o640 if folder.st_gid else 0o600)
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
    if mode & TOO_OPEN:
        return f"has mode {mode:04o}: {OPEN_TO_WHOM}"
    return None


def _make_folder(folder: Path) -> None:
    if folder.exists():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o750)
    if os.geteuid() == 0:
        above = folder.parent.stat()
        os.chown(folder, above.st_uid, above.st_gid)
        folder.chmod(0o750)  # whatever the umask


def public_half(path: Path) -> Path:
    """``KEY.pub``."""
    return path.with_name(path.name + ".pub")
