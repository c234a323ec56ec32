"""Secrets are named by a file in the config, and read when they are used: never kept, shown or logged (I17)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from failover.config.files import unsafe_secret
from failover.config.strict_yaml import Path as Where
from failover.errors import ConfigError

NOT_SECRET = frozenset({"ca_file"})
ON_SERVERS = frozenset({"roles", "backups"})
"""Sections whose secrets lie on the servers, where only their helpers read them."""


class Secret:
    """A text that shows itself only when it is asked to."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def locate(name: str | Path, beside: Path) -> Path:
    """Where a file lies: there, if absolute; else systemd's credential of that name; else beside the config.

    See systemd.exec(5), LoadCredential=.
    """
    path = Path(name)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if not path.is_absolute() and credentials and (Path(credentials) / path).exists():
        return Path(credentials) / path
    return path if path.is_absolute() else beside / path


def read(name: str | Path, beside: Path) -> Secret:
    """The first line of a secret's file.

    Raises:
        ConfigError: it can't be read, is empty, or somebody else may read it. The sentence never holds the secret.
    """
    file = locate(name, beside)
    if why := unsafe_secret(file):
        raise ConfigError([why])
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.readline(4096).strip()
    except OSError as error:
        raise ConfigError([f"{file}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file}: it is not UTF-8 text"]) from None
    if not text:
        raise ConfigError([f"{file}: it is empty"])
    return Secret(text)


def named(value: Any, path: Where = ()) -> Iterator[tuple[Where, str]]:
    """Every ``*_file`` key of a config that names a secret, and the name."""
    if isinstance(value, Mapping):
        for key, inside in value.items():
            if not path and key in ON_SERVERS:
                continue
            if key.endswith("_file") and key not in NOT_SECRET and isinstance(inside, str):
                yield (*path, key), inside
            else:
                yield from named(inside, (*path, key))
    elif isinstance(value, list):
        for number, inside in enumerate(value):
            yield from named(inside, (*path, number))
