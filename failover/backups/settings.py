"""A backup set as the config writes it: what is backed up, where it lies, when it is made and how long it is kept."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from failover.model import Span

HOUR, DAY = 3600.0, 86400.0
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def plain_path(value: str) -> str:
    """The path, if it is absolute and has no way out of itself.

    Raises:
        ValueError: it isn't.
    """
    if not value.startswith("/") or {"", ".", ".."} & set(value[1:].split("/")):
        raise ValueError(f"{value!r} is not an absolute path without '.', '..' and a slash at its end")
    return value


class Keep(BaseModel):
    """Which backups are kept: grandfather, father, son; in the site's own days, ISO weeks and months."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    all_within: Span = Field(default=2 * DAY, ge=0, description="Every backup is kept for this long, however many.")
    daily: int = Field(default=7, ge=1, le=400, description="Of so many days with a good backup, the day's newest.")
    weekly: int = Field(default=4, ge=0, le=200, description="Of so many weeks with a good backup, the week's newest.")
    monthly: int = Field(default=6, ge=0, le=200, description="Of so many months with a good one, the month's newest.")


class ResticStore(BaseModel):
    """A restic repository that every backup of the set goes to as well, encrypted. Nothing is ever removed from it.

    It has to exist (``restic init``): one that is gone because its disk isn't mounted must not be made anew, empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["restic"] = "restic"
    repository: str = Field(
        min_length=1,
        max_length=500,
        description="A folder of the server, or a place as restic writes it, as `rest:https://backup.example/wcm`.",
    )
    password_file: str = Field(description="The file on the server that has the repository's password.")

    @field_validator("repository")
    @classmethod
    def _holds_no_secret(cls, value: str) -> str:
        if not value.isprintable() or value.startswith("-"):
            raise ValueError(f"{value!r} is no place of a restic repository")
        if "://" in value and "@" in value and ":" in value.partition("://")[2].rpartition("@")[0]:
            raise ValueError("a password stands in the repository's place, where everyone who reads the config sees it")
        return value

    @field_validator("password_file")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        return plain_path(value)


class BackupSet(BaseModel):
    """What every set has, whoever makes its backups."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    role: str = Field(description="The role whose data it is; who holds the role then is where the data come from.")
    on: str = Field(description="The server on which the backups lie.")
    path: str = Field(description="The folder there.")
    smallest_percent: float = Field(
        default=50.0, ge=0, le=100, description="A backup below this part of the median of the last ones isn't used."
    )
    largest_percent: float = Field(
        default=300.0, ge=100, le=100000, description="Nor is one above this part of that median."
    )

    @field_validator("path")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        return plain_path(value)

    @property
    def servers(self) -> tuple[str, ...]:
        """Where its backups lie, the first place first."""
        return (self.on,)


class MadeSet(BackupSet):
    """A set whose backups failover makes."""

    also_on: str | None = Field(default=None, description="A second server that every good backup is copied to.")
    at: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = Field(
        min_length=1, max_length=24, description="When it is made, in the site's own time: `02:00`, or several times."
    )
    keep: Keep = Field(default=Keep(), description="Which backups are kept.")
    store: ResticStore | None = Field(default=None, description="Where every backup goes to besides, encrypted.")
    within: Span = Field(default=4 * HOUR, gt=0, le=6 * HOUR, description="How long making or reading one may take.")

    @field_validator("at")
    @classmethod
    def _are_times(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not _TIME.fullmatch(text):
                raise ValueError(f"{text!r} is no time of the day; write it as 02:00")
        if len(set(value)) != len(value):
            raise ValueError("a time stands there twice")
        return tuple(sorted(value))

    @property
    def times(self) -> tuple[time, ...]:
        """When it is made, on the wall's clock."""
        return tuple(time.fromisoformat(text) for text in self.at)

    @property
    def servers(self) -> tuple[str, ...]:
        """See :class:`BackupSet`."""
        return (self.on,) if self.also_on is None else (self.on, self.also_on)


class DatabaseSet(MadeSet):
    """Dumps of a role's database, pulled by the server that keeps them."""

    kind: Literal["database"] = "database"
    format: Literal["custom", "plain.gz", "dump.gz"] | None = Field(
        default=None, description="`custom` or `plain.gz` of PostgreSQL, `dump.gz` of MariaDB; by default the first."
    )


class FilesSet(MadeSet):
    """Archives of folders of a role's holder: its software, configuration and content."""

    kind: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(min_length=1, max_length=20, description="The folders that are archived.")

    @field_validator("paths")
    @classmethod
    def _are_plain(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for path in value:
            plain_path(path)
            for other in value:
                if path != other and path.startswith(other + "/"):
                    raise ValueError(f"{path!r} lies in {other!r}, which is archived already")
        if len(set(value)) != len(value):
            raise ValueError("a path stands there twice")
        return value


class FoundSet(BackupSet):
    """Backups that other tools make, taken in as they are: nothing is written beside them, and none is removed."""

    kind: Literal["found"] = "found"
    pattern: str = Field(
        default="*", min_length=1, max_length=200, description="Which names in the folder are backups, as `wcm-*.dump`."
    )
    settle: Span = Field(
        default=120.0, ge=1, le=DAY, description="A file counts when it wasn't written to for this long."
    )

    @field_validator("pattern")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if "/" in value or not value.isprintable():
            raise ValueError(f"{value!r} is no pattern of a name: the folder stands in 'path'")
        return value


AnyBackupSet = Annotated[DatabaseSet | FilesSet | FoundSet, Field(discriminator="kind")]
"""A set as the config writes it; ``kind`` says which."""
