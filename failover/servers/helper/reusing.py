"""What a copy needn't fetch: what is right in the staged tree, and what another release has, by a hard link."""

import os
import stat
from typing import Dict, List, Optional

from .inodes import Inodes
from .listing import Listing
from .manifest import FOLDER, SYMLINK, Entry, Manifest, entry_of
from .releases import Releases
from .tree import Tree, sha256_of
from .work import Work


class Reuse:
    """Brings a staged tree as near to a manifest as can be without the source."""

    def __init__(self, work: Work, releases: Releases, inodes: Inodes) -> None:
        self.work, self.releases, self.inodes = work, releases, inodes
        self.owner = releases.owner
        self.linked = self.removed = 0

    def run(self, tree: Tree, there: Optional[Listing], wanted: Manifest) -> Dict[bytes, Entry]:
        """Keep what is right in the staged tree, remove the rest, link what others have; the files then missing."""
        right = set(wanted.top)
        if there is not None:
            wrong = []
            folders = {record.split(b" ", 4)[4]: record for record in wanted.records if record[:1] == b"d"}
            for path, (record, is_folder) in there.paths.items():
                if record in wanted.records:
                    right.add(record)
                elif is_folder and path in folders:
                    right.add(folders[path])  # its mode and owner are set in the end
                else:
                    wrong.append((path, is_folder))
            for path, is_folder in reversed(wrong):  # children come after their parents
                tree.remove(path, is_folder)
            self.removed = len(wrong)
            tree.forget()
        missing = {}
        sources = self._link_sources()
        for path, entry in sorted(map(entry_of, wanted.records - right)):
            fd, name = tree.place(path)
            if entry.kind == FOLDER:
                os.mkdir(name, 0o700, dir_fd=fd)
            elif entry.kind == SYMLINK:
                os.symlink(entry.mark, name, dir_fd=fd)
                os.chown(name, *self.owner, dir_fd=fd, follow_symlinks=False)
            elif not self._link(sources, fd, name, path, entry):
                missing[path] = entry
            self.work.progress(phase="comparing", linked=self.linked, missing=len(missing))
        for source in sources:
            source.close()
        return missing

    def _mark(self, tree: Tree, path: bytes, info: os.stat_result) -> Optional[bytes]:
        """The SHA-256 of a file of ours: known, or read now."""
        mark = self.inodes.get(info)
        if mark is None:
            fd = tree.read(path)
            try:
                mark = sha256_of(fd, info.st_size)
            finally:
                os.close(fd)
            after = tree.stat(path)
            if after is None or after.st_ctime_ns != info.st_ctime_ns:
                return None
            self.inodes.put(info, mark)
        return mark

    def _link_sources(self) -> List[Tree]:
        found = [Tree(f"{self.releases.base}/{name}") for name in self.releases.likeliest_first()]
        if os.path.isdir(self.releases.live) and not os.path.islink(self.releases.live):
            found.append(Tree(self.releases.live))
        return found

    def _link(self, sources: List[Tree], fd: int, name: bytes, path: bytes, entry: Entry) -> bool:
        for source in sources:
            info = source.stat(path)
            if (
                info is None
                or info.st_size != entry.size
                or info.st_mode != entry.mode | stat.S_IFREG
                or (info.st_uid, info.st_gid) != self.owner
                or self._mark(source, path, info) != entry.mark
            ):
                continue
            other, its_name = source.place(path)
            try:
                os.link(its_name, name, src_dir_fd=other, dst_dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue  # too many links, or another file system: it is fetched
            after = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if (after.st_ino, after.st_size, after.st_mtime_ns) != (info.st_ino, info.st_size, info.st_mtime_ns):
                os.unlink(name, dir_fd=fd)  # somebody put another file there between the two looks
                continue
            self.inodes.put(after, entry.mark)  # linking changed its ctime
            self.linked += 1
            return True
        return False
