"""The verb ``content``: a path is what its source has."""

import ctypes
import errno
import os
import time
from typing import Dict, Optional

from .arguments import Verb
from .clock import boot_id
from .differs import differs
from .errors import Answer, Args, Failed, Refused
from .fetching import Fetch
from .inodes import inodes_of
from .listing import Listing
from .manifest import Entry, Manifest, entry_of
from .manifests import store_manifest
from .processes import libc
from .pull import Pull
from .releases import Releases
from .reusing import Reuse
from .suspicion import suspect_paths, suspect_totals
from .tree import Tree, remove_tree
from .values import among, between, digest, flag, is_int, text
from .words import plain, size_text, utc_text
from .work import Work


def ask_content(work: Work, args: Args) -> Answer:
    """What is served at a path, and what else is kept. ``verify`` looks at the files, not only at the record.

    With ``source``, ``digest`` and ``files`` of the source's manifest: how what lay here at ``since`` differs from it.
    """
    if {"source", "digest", "files", "since"} & set(args):
        if not {"source", "digest", "files"} <= set(args):
            raise Refused("bad-request", "content: to be compared it needs source, digest and files")
        return differs(work, args)
    releases = Releases(work, args["path"])
    name = releases.current()
    current = releases.described(name) if name is not None else None
    if current is not None and args.get("verify"):
        inodes = inodes_of(work, args["path"])
        current["intact"] = releases.is_intact(work, current["release"], inodes)
        inodes.save()
    return {
        "current": current,
        "releases": [releases.described(name) for name in releases.names()],
        "staging": os.path.isdir(releases.staging),
    }


class Copy:
    """Brings a path to what the source has: staged, verified against the source's manifest, switched at once."""

    def __init__(self, work: Work, args: Args) -> None:
        self.work, self.args = work, args
        self.releases = Releases(work, args["path"])
        self.owner = self.releases.owner
        self.inodes = inodes_of(work, args["path"])
        self.keep = max(1, int(args.get("keep", 5)))
        self.began = time.monotonic()
        self.reuse = Reuse(work, self.releases, self.inodes)
        self.fetched_bytes = self.fetched = 0

    def run(self) -> Answer:
        """The whole way."""
        suspect_totals(self.releases, self.args)
        ready = self._ready_release()
        if ready is not None:
            return self._serve(ready, changed=False)
        pull = Pull(self.work, self.args["source"])
        try:
            return self._copy(pull)
        finally:
            pull.close()

    def _copy(self, pull: Pull) -> Answer:
        base = self._base()
        tree = Tree(base) if base is not None else None
        there = (
            Listing(self.work, tree, self.inodes, self.owner) if tree is not None else None
        )  # while ssh shakes hands
        pull.ready()
        self.work.progress(phase="manifest")
        text = pull.manifest(self.args["digest"], (64 << 20) + 5000 * self.args["files"])
        try:
            wanted = Manifest.parse(text)
            wanted.check(there.manifest.records if there is not None else ())
        except ValueError as error:
            raise Refused("bad-manifest", f"the manifest of {self.args['source']} can't be used: {error}") from None
        if (wanted.files, wanted.bytes) != (self.args["files"], self.args["bytes"]):
            raise Refused("bad-manifest", f"it lists {wanted.files} files of {wanted.bytes} bytes, not as was said")
        suspect_paths(self.work, self.releases, self.args, wanted)
        self.work.begin()
        tree = self._stage(base, tree)
        try:
            missing = self.reuse.run(tree, there, wanted)
            self._room_for(missing)
            if missing:
                fetch = Fetch(self.work, self.releases, self.inodes, self.args)
                fetch.run(pull, tree, missing)
                self.fetched, self.fetched_bytes = fetch.files, fetch.bytes
            self._finish_folders(tree, wanted, there)
            return self._serve(self._name(text, tree), changed=True)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._clean_up()
            raise Failed("no-space", f"the disk of {self.releases.base} is full: {plain(error)}") from None
        except Refused as error:
            if error.kind == "no-space":
                self._clean_up()
            raise
        finally:
            self.inodes.save()
            tree.close()

    # what stands against it ------------------------------------------------------------------------------------------

    def _room_for(self, missing: Dict[bytes, Entry]) -> None:
        """Known before, not found out at the last file (C3)."""
        disk = os.statvfs(self.releases.base)
        block = disk.f_frsize
        need = sum(-(-entry.size // block) for entry in missing.values()) * block
        free, inodes = disk.f_bavail * block, disk.f_favail if disk.f_files else 1 << 60
        if need > free or len(missing) > inodes:
            sentence = f"the copy needs {size_text(need)} in {len(missing)} files more"
            raise Refused(
                "no-space", f"{sentence}; {self.releases.base} has {size_text(free)} free, and room for {inodes} files"
            )

    def _clean_up(self) -> None:
        for path in (self.releases.incoming, self.releases.staging):
            remove_tree(path)

    # what is there already ------------------------------------------------------------------------------------------

    def _ready_release(self) -> Optional[str]:
        """A release that has the wanted content and still is as it was verified."""
        for name in self.releases.likeliest_first():
            record = self.releases.record(name)
            if record is not None and record["digest"] == self.args["digest"]:
                self.work.progress(phase="checking", release=name)
                if self.releases.is_intact(self.work, name, self.inodes):
                    return name
                self.work.places.log(f"{self.releases.base}/{name} isn't as it was verified: it is made anew")
        return None

    def _base(self) -> Optional[str]:
        """The folder that becomes the new release: what an interrupted copy left, else the oldest release, else none.

        Turning an old release into the new one touches only what differs between the two; making all links anew and
        removing an old release would touch every file twice, and its ctime, by which we know what it contains.
        """
        if os.path.isdir(self.releases.staging):
            return self.releases.staging
        names, current = self.releases.names(), self.releases.current()
        old = [name for name in names if name != current]
        return f"{self.releases.base}/{old[0]}" if old and len(names) >= self.keep > 1 else None

    def _stage(self, base: Optional[str], tree: Optional[Tree]) -> Tree:
        """Where no visitor comes, and nobody but us."""
        staging = self.releases.staging
        os.makedirs(self.releases.base, mode=0o755, exist_ok=True)
        if base is None:
            os.mkdir(staging, 0o700)
        elif base != staging:
            self.releases.forget(os.path.basename(base))
            os.rename(base, staging)
        os.chmod(staging, 0o700)
        os.chown(staging, 0, 0)
        return tree or Tree(staging)

    # the end --------------------------------------------------------------------------------------------------------

    def _finish_folders(self, tree: Tree, wanted: Manifest, there: Optional[Listing]) -> None:
        """Owner and mode of the folders that were made or are the top, deepest first."""
        good = there.manifest.records - {b"d 700 0 - ."} if there is not None else frozenset()
        folders = [entry_of(record) for record in wanted.records - good if record[:1] == b"d"]
        folders += [entry_of(record) for record in wanted.top]
        for path, entry in sorted(folders, reverse=True):
            fd = tree.folder(b"" if path == b"." else path)
            os.fchown(fd, *self.owner)
            os.fchmod(fd, entry.mode)

    def _name(self, text: bytes, tree: Tree) -> str:
        """Give the staged tree its name; from here on it is a release."""
        now = time.time()
        stamp = "{}.{:03d}Z".format(time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)), int(now % 1 * 1000))
        name = "{}-{}".format(stamp, self.args["digest"][:8])
        store_manifest(self.work, self.args["digest"], text)
        self.releases.write_record(name, {
            "release": name, "digest": self.args["digest"], "files": self.args["files"], "bytes": self.args["bytes"],
            "verified_at": utc_text(now), "source": self.args["source"], "source_digest_at": utc_text(now),
            "on_disk": False, "boot_id": boot_id(),
        })  # fmt: skip
        os.rename(self.releases.staging, f"{self.releases.base}/{name}")
        self.work.afterwards = lambda: self._to_disk(name)
        return name

    def _to_disk(self, name: str) -> None:
        """Wait for the disk when nobody waits for us. A power cut before that leaves a release without a digest."""
        top = os.open(f"{self.releases.base}/{name}", os.O_RDONLY | os.O_DIRECTORY)
        if libc.syncfs(top):
            self.work.places.log(f"{self.releases.base}/{name} can't be written out: {os.strerror(ctypes.get_errno())}")
        elif self.releases.record(name):
            self.releases.write_record(name, dict(self.releases.record(name) or {}, on_disk=True))
        os.close(top)

    def _serve(self, name: str, changed: bool) -> Answer:
        switched = False
        if self.args.get("switch", True) and self.releases.current() != name:
            self.work.begin()
            self.work.in_time()
            self.releases.switch(name)
            switched = True
        if os.path.isdir(self.releases.incoming):  # of a copy that was killed; nothing of it was missing any more
            remove_tree(self.releases.incoming)
        if changed or switched:
            self._prune()
        elif self.releases.record(name):
            record = dict(self.releases.record(name) or {}, verified_at=utc_text(time.time()), boot_id=boot_id())
            self.releases.write_record(name, record)
        self.inodes.save()
        return dict(
            self.releases.described(name), changed=changed, switched=switched, fetched_files=self.fetched,
            fetched_bytes=self.fetched_bytes, linked=self.reuse.linked, removed=self.reuse.removed,
            seconds=time.monotonic() - self.began,
        )  # fmt: skip

    def _prune(self) -> None:
        """Keep the newest releases, and what is served in any case."""
        current = self.releases.current()
        others = [name for name in self.releases.names() if name != current]
        for name in others[: max(0, len(others) + 1 - self.keep)]:
            self.releases.forget(name)
            remove_tree(f"{self.releases.base}/{name}")


def change_content(work: Work, args: Args) -> Answer:
    """Make a path what its source has."""
    return Copy(work, args).run()


COMPARED = {"source": text(100), "digest": digest, "files": is_int, "since": between(0, 1e12)}
ASKS = {"content": Verb(ask_content, {"path": text(4096)}, dict(COMPARED, verify=flag))}


SLOW_ASKS = {"content": 600.0}


CHANGES = {
    "content": Verb(
        change_content,
        {
            "path": text(4096),
            "want": among("synced"),
            "source": text(100),
            "digest": digest,
            "files": is_int,
            "bytes": is_int,
        },
        {"keep": between(1, 100), "max_loss_percent": between(0, 100), "switch": flag},
    )
}
