"""Files that command every server: only root and who runs this may write them, and nobody else reads a secret."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from failover.config.strict_yaml import MAX_BYTES
from failover.errors import ConfigError

MOST_KEYS = 10_000


def config_bytes(file: Path, *, trusted: bool = False) -> bytes:
    """A config file's bytes; one more than the most that a config may have, when it has more.

    Args:
        file: the file.
        trusted: don't look at who may write it.

    Raises:
        ConfigError: it can't be read, or somebody else could have written it.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would be waited for
        with open(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(["it is no file"])
            if not trusted and (why := writable(status)):
                raise ConfigError([f"{why}, and who writes the config commands every server; {_mend(status, file)}"])
            if not trusted and (why := _folder_writable(file)):
                raise ConfigError([why])
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"it can't be read: {error.strerror}"]) from None


def writable(status: os.stat_result) -> str | None:
    """Who may write it that shouldn't, or None."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o022:
        return f"{'everybody' if mode & 0o002 else 'its group'} may write it (mode {mode:04o})"
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {status.st_uid}, neither to root nor to who runs this"
    return None


def unsafe_secret(file: Path) -> str | None:
    """Why a secret's file isn't safe: somebody else may read or write it. None too where there is no such file."""
    try:
        status = file.stat()
    except OSError:
        return None
    if why := writable(status):
        return f"{file}: {why}; {_mend(status, file)}"
    if status.st_mode & 0o007:
        mode = stat.S_IMODE(status.st_mode)
        return f"{file}: everybody may read this secret (mode {mode:04o}); run chmod o= {file}"
    return None


def unsafe_place(place: Path) -> str | None:
    """Why a folder or file that decides whom to trust isn't safe: somebody else may write it. None where it isn't."""
    try:
        status = place.stat()
    except OSError:
        return None
    return f"{place}: {why}; {_mend(status, place)}" if (why := writable(status)) else None


def unsafe_keys(folder: Path) -> list[str]:
    """What is wrong with the private keys in a folder and its sub-folders; OpenSSH refuses such keys too."""
    found: list[str] = []
    for number, file in enumerate(_files(folder)):
        if number >= MOST_KEYS:
            break
        try:
            status = file.stat()
        except OSError:
            continue
        allowed = 0o022 if file.suffix == ".pub" else 0o037  # the daemon's group may read what only root changes
        if status.st_mode & allowed:
            mode = stat.S_IMODE(status.st_mode)
            found.append(f"{file}: others may {'write' if allowed == 0o022 else 'use'} this key (mode {mode:04o}); "
                         f"run chmod g-w,o{'-w' if allowed == 0o022 else '='} {file}")  # fmt: skip
    return found


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in [*folder.glob("*"), *folder.glob("*/*")] if file.is_file())
    except OSError:
        return []  # only the daemon's own user may look: then it does


def _mend(status: os.stat_result, file: Path) -> str:
    return f"run chmod go-w {file}" if status.st_mode & 0o022 else f"run chown root {file}"


def _folder_writable(file: Path) -> str | None:
    """A folder that others may write lets them put another file in this one's place; a sticky one, as /tmp, doesn't."""
    folder = file.absolute().parent
    status = folder.stat()
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        mode = stat.S_IMODE(status.st_mode)
        return f"its folder may be written by others (mode {mode:04o}), who could replace it; run chmod go-w {folder}"
    return None
