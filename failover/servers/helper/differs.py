"""How a path differs from what its source has, file by file: what is shown to people before a role moves back."""

import os
from typing import Dict, NamedTuple, Optional, Tuple

from .errors import Answer, Args, Refused
from .inodes import inodes_of
from .listing import Listing
from .manifest import FOLDER, Entry, Manifest, entry_of
from .pull import Pull
from .releases import Releases
from .tree import Tree
from .words import plain, utc_text
from .work import Work

Files = Dict[bytes, Entry]
Base = NamedTuple("Base", [("folder", str), ("of", Optional[str])])
"""What is compared, and of when it is, where that is known."""


def differs(work: Work, args: Args) -> Answer:
    """What the source has besides, otherwise and no more, against what lay here at ``since``. Copies nothing.

    Raises:
        Refused: the source can't be asked, or has another content by now.
    """
    releases = Releases(work, args["path"])
    base = base_of(releases, args.get("since"))
    here = files_of(work, releases, base)
    there = {path: entry for path, entry in map(entry_of, _wanted(work, args).records) if entry.kind != FOLDER}
    added = set(there) - set(here)
    changed = {path for path in set(there) & set(here) if _content(there[path]) != _content(here[path])}
    return {
        "added": len(added),
        "changed": len(changed),
        "removed": len(set(here) - set(there)),
        "bytes": sum(there[path].size for path in added | changed),
        "of": base.of if base is not None else None,
    }


def base_of(releases: Releases, since: Optional[float]) -> Optional[Base]:
    """What lay here then: the newest release made by that time, else the oldest that is kept; None: nothing."""
    current = releases.current()
    if current is None:
        return Base(releases.live, None) if os.path.isdir(releases.live) else None
    found = [(name, (releases.record(name) or {}).get("source_digest_at")) for name in releases.names()]
    best = current
    if since is not None:
        dated = sorted((at, name) for name, at in found if at is not None and at <= utc_text(since))
        best = dated[-1][1] if dated else found[0][0]
    return Base(f"{releases.base}/{best}", dict(found)[best])


def files_of(work: Work, releases: Releases, base: Optional[Base]) -> Files:
    """The files and symlinks of a tree as it is now: its own server may have written into it."""
    if base is None:
        return {}
    try:
        tree = Tree(os.path.realpath(base.folder))
    except OSError as error:
        raise Refused("no-content", f"{base.folder}: {plain(error)}") from None
    inodes = inodes_of(work, releases.live)
    listing = Listing(work, tree, inodes)
    tree.close()
    inodes.save()
    found = map(entry_of, listing.manifest.records)
    return {path: entry for path, entry in found if entry.kind != FOLDER}


def _wanted(work: Work, args: Args) -> Manifest:
    pull = Pull(work, args["source"])
    try:
        pull.ready()
        text = pull.manifest(args["digest"], (64 << 20) + 5000 * args["files"])
    finally:
        pull.close()
    try:
        return Manifest.parse(text)
    except ValueError as error:
        raise Refused("bad-manifest", f"the manifest of {args['source']} can't be used: {error}") from None


def _content(entry: Entry) -> Tuple[str, bytes]:
    """What visitors would notice: modes aren't part of it."""
    return entry.kind, entry.mark
