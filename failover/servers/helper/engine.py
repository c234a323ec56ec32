"""What a database engine can do for us, whichever it is; and the rules that hold for all: names, notes, disk.

``wcm`` serves. ``wcm__20261124t020000`` was restored beside it, and ``wcm__old_20261124t091450`` served until it was
exchanged. Only names of these two forms are ever made or dropped (I7).
"""

import os
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .client import Client, trouble
from .core import Answer, Refused, Work
from .scratch import Scratch
from .unfit import Disk, Down, Unfit

RESTORED = r"__\d{8}t\d{6}\Z"
KEPT = r"__old_\d{8}t\d{6}\Z"
NOTE = "failover: "
GROWTH = {
    "custom": 3.0, "directory": 3.0, "plain.gz": 3.0, "dump.gz": 3.0, "base": 1.0, "mariadb-backup": 1.0,
}  # fmt: skip
"""A database by the size of its backup, at least. Text packs better than this as a rule; the disk is watched too."""

Source = NamedTuple("Source", [("path", str), ("format", str), ("bytes", int), ("record", Answer)])
"""A backup that is to be restored, with what its catalogue says."""


__all__ = ["Disk", "Down", "Engine", "Source", "Unfit"]


class Engine:
    """One database of the policy and what stands beside it. Every method may raise ``Down``."""

    engine = ""
    maintenance = ""

    def __init__(self, work: Work, entry: Answer, client: Client) -> None:
        self.work, self.client, self.entry = work, client, entry
        self.name, self.owner, self.user = str(entry["name"]), str(entry["owner"]), str(entry["user"])
        self.port = int(entry["port"])
        self.host = str(entry.get("host") or "localhost")
        self.queries: Dict[str, str] = dict(entry.get("queries") or {})

    # names ----------------------------------------------------------------------------------------------------------

    def is_restored(self, name: str) -> bool:
        """Whether a database is called like one that was restored beside the one that serves."""
        return name.startswith(self.name) and re.match(RESTORED, name[len(self.name) :]) is not None

    def is_kept(self, name: str) -> bool:
        """Whether it is called like one that served once."""
        return name.startswith(self.name) and re.match(KEPT, name[len(self.name) :]) is not None

    def of_ours(self, name: str) -> str:
        """A name of the family.

        Raises:
            Refused: ``not-in-policy``.
        """
        if name == self.name or self.is_restored(name) or self.is_kept(name):
            return name
        forms = f"{self.name}, {self.name}__YYYYMMDDtHHMMSS, {self.name}__old_YYYYMMDDtHHMMSS"
        raise Refused("not-in-policy", f"{name[:100]!r} is none of {forms}")

    def password(self) -> str:
        """Of the user.

        Raises:
            Refused: ``no-password``.
        """
        path = str(self.entry["password_file"])
        try:
            fd = os.open(self.work.places.root + path, os.O_RDONLY | os.O_NOFOLLOW)
            with open(fd, "rb") as file:
                if os.fstat(fd).st_mode & 0o077 or os.fstat(fd).st_uid != os.geteuid():
                    raise Refused("no-password", f"{path}: only root may be able to read it")
                text = file.read(1000).decode()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Refused("no-password", f"{path}, the password of {self.user}, can't be read: {why}") from None
        if not text.strip() or "\n" in text.strip("\r\n"):
            raise Refused("no-password", f"{path} holds no password of one line")
        return text.strip("\r\n")

    # what every engine has ------------------------------------------------------------------------------------------

    def version(self) -> str:
        """Of the server."""
        raise NotImplementedError

    def databases(self) -> List[Answer]:
        """The family: ``name bytes note`` (what we noted of it, a dict) and ``connections``."""
        raise NotImplementedError

    def notes(self) -> Dict[str, Answer]:
        """The family's notes by name, in less time than it takes to measure what each holds."""
        return {entry["name"]: entry["note"] for entry in self.databases()}

    def read_only(self, of: str) -> bool:
        """Whether its owner can't write to it."""
        raise NotImplementedError

    def standing(self) -> Tuple[str, List[Answer], bool]:
        """The version, the family, and whether the one that serves is read-only, in as few questions as it takes."""
        version, found = self.version(), self.databases()
        serves = any(entry["name"] == self.name for entry in found)
        return version, found, serves and self.read_only(self.name)

    def set_read_only(self, of: str, on: bool) -> None:
        """Keep its owner from writing to it, or let it again; connections are ended."""
        raise NotImplementedError

    def tables(self, of: str) -> Dict[str, int]:
        """Exact rows by table."""
        raise NotImplementedError

    def query(self, sql: str, of: str) -> Any:
        """The first value of a question of the site's own, asked so that it can change nothing."""
        raise NotImplementedError

    def create(self, into: str, source: Source, note: Answer) -> None:
        """An empty database that is like the one in the backup."""
        raise NotImplementedError

    def restore(self, source: Source, into: str, disk: Disk, progress: Callable[..., None]) -> List[str]:
        """Fill it; what is worth knowing, in sentences.

        Raises:
            Unfit: the backup is no good, or not for this server.
        """
        raise NotImplementedError

    def preflight(self, source: Source) -> None:
        """Look at the backup before anything is changed.

        Raises:
            Unfit: it can't be restored here.
        """
        raise NotImplementedError

    def settle(self, into: str) -> None:
        """Let the same accounts in as the database that serves, with the same settings."""
        raise NotImplementedError

    def unpacked(self, source: Source, scratch: Scratch) -> Tuple[Source, Dict[str, int]]:
        """Of a copy of a whole server, a dump of our database, and its rows by table.

        Raises:
            Unfit: the copy can't be opened, or the database isn't in it.
        """
        raise NotImplementedError

    def analyze(self, of: str) -> None:
        """Let the planner know what is in it."""
        raise NotImplementedError

    def tidy(self, of: str) -> None:
        """Do now what the server's own housekeeping would do at a worse moment. It may be ended at any time."""

    def set_note(self, of: str, note: Answer) -> None:
        """Note something of a database, in it or beside it, durably."""
        raise NotImplementedError

    def end_connections(self, of: str) -> List[str]:
        """End them; those that can't be ended, in words."""
        raise NotImplementedError

    def exchange(self, moves: Any) -> None:
        """Rename databases, in this order, all or none."""
        raise NotImplementedError

    def unfinished(self) -> bool:
        """Whether an exchange was cut off midway; it has to be dealt with before anything else is done."""
        return False

    def resume(self) -> None:
        """Finish it, or take it back where nothing was renamed yet."""

    def drop(self, of: str) -> None:
        """Drop one of ours; nothing happens when it isn't there."""
        raise NotImplementedError

    def data_folder(self) -> Optional[str]:
        """Where the server keeps its data, as far as that can be seen."""
        raise NotImplementedError

    # common ---------------------------------------------------------------------------------------------------------

    def found(self, name: str) -> Optional[Answer]:
        """The database of this name."""
        return next((entry for entry in self.databases() if entry["name"] == name), None)

    def scratch_folder(self) -> str:
        """Where a copy of a whole server may be unpacked: the policy's first folder, or among our own state."""
        folders = [str(folder) for folder in self.entry.get("folders") or []]
        return (self.work.places.root + folders[0] if folders else self.work.places.state) + "/scratch"

    def unless_down(self, problem: str) -> Refused:
        """The error for a database that doesn't answer."""
        return trouble(self.work, "database-down", f"{self.engine} on this server doesn't answer: {problem}")
