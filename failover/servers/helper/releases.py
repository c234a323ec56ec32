"""The releases of a content path, and the switch from one to another."""

import json
import os
from typing import List, Optional

from .clock import boot_id
from .errors import Answer, Failed, not_in_policy
from .files import put_file, sync_folder
from .inodes import Inodes
from .listing import Listing
from .policy import name_of, owner_of
from .processes import libc
from .tree import Tree
from .values import digest, parse_json
from .words import plain
from .work import Work


class Releases:
    """The releases of one content path: ``PATH`` is a symlink to one of the folders in ``PATH.releases``."""

    def __init__(self, work: Work, path: str) -> None:
        if path not in work.policy.paths:
            raise not_in_policy("path", path, work.policy.paths)
        self.live, self.base = path, path + ".releases"
        self.owner = owner_of(work.policy.paths[path])
        self.staging, self.incoming = self.base + "/.staging", self.base + "/.incoming"
        self._notes = f"{work.places.state}/releases/{name_of(path)}"

    def names(self) -> List[str]:
        """Oldest first; ``original`` is what was there before us."""
        try:
            found = [name for name in os.listdir(self.base) if name[0] != "." and os.path.isdir(f"{self.base}/{name}")]
        except FileNotFoundError:
            return []
        return sorted(found, key=lambda name: (name != "original", name))

    def current(self) -> Optional[str]:
        """The one that is served."""
        try:
            folder, _, name = os.readlink(self.live).rpartition("/")
        except OSError:
            return None
        return name if os.path.basename(folder) == os.path.basename(self.base) and name in self.names() else None

    def likeliest_first(self) -> List[str]:
        """The one that is served, then the others, newest first: where something is most likely found."""
        current = self.current()
        return ([current] if current else []) + [name for name in self.names()[::-1] if name != current]

    def record(self, name: str) -> Optional[Answer]:
        """What was written down when a release was verified."""
        try:
            with open(f"{self._notes}/{name}.json", "rb") as file:
                found = parse_json(file.read(65536))
            return found if isinstance(found, dict) and digest(found.get("digest")) else None
        except (OSError, ValueError):
            return None

    def write_record(self, name: str, record: Answer) -> None:
        """Before the release gets its name, so that no named release lacks it."""
        os.makedirs(self._notes, mode=0o755, exist_ok=True)
        put_file(f"{self._notes}/{name}.json", json.dumps(record).encode(), 0o644)

    def forget(self, name: str) -> None:
        """A release is no more what its record says."""
        try:
            os.unlink(f"{self._notes}/{name}.json")
        except FileNotFoundError:
            pass

    def described(self, name: str) -> Answer:
        """A release for the monitor; its digest is null without a record, or if a power cut may have cost some."""
        record = self.record(name) or {}
        if not record.get("on_disk") and record.get("boot_id") != boot_id():
            record = {}
        keys = ("digest", "files", "bytes", "verified_at", "source", "source_digest_at")
        return dict({key: record.get(key) for key in keys}, release=name)

    def is_intact(self, work: Work, name: str, inodes: Inodes) -> bool:
        """Whether a release still has what it was verified with: files, modes, owners, symlinks, and nothing else."""
        record = self.record(name)
        if record is None:
            return False
        tree = Tree(f"{self.base}/{name}")
        listing = Listing(work, tree, inodes, self.owner)
        tree.close()
        return listing.digest == record["digest"] and all(found for found, _ in listing.paths.values())

    def switch(self, name: str) -> None:
        """Serve a release: one rename, so that nobody ever sees half of it (I6)."""
        fresh = f"{self.live}.failover-new"
        try:
            os.unlink(fresh)
        except FileNotFoundError:
            pass
        os.symlink(f"{os.path.basename(self.base)}/{name}", fresh)
        try:
            if os.path.isdir(self.live) and not os.path.islink(self.live):
                # Symlink and folder change places in one step where the kernel can; else the site is away for a moment.
                if libc.syscall(
                    RENAMEAT2.get(os.uname().machine, -1), -100, os.fsencode(fresh), -100, os.fsencode(self.live), 2
                ):
                    os.rename(self.live, f"{self.base}/original")
                    os.rename(fresh, self.live)
                else:
                    os.rename(fresh, f"{self.base}/original")
            else:
                os.rename(fresh, self.live)
        except OSError as error:
            raise Failed("not-switched", f"{self.live} can't be switched to {name}: {plain(error)}") from None
        sync_folder(os.path.dirname(self.live))


RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "ppc64le": 357, "s390x": 347, "riscv64": 276}
