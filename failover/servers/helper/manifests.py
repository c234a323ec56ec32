"""The verb ``manifest``: what a path contains, and its list kept for whoever pulls it."""

import hashlib
import os
import time

from .arguments import Verb
from .errors import Answer, Args, Refused, not_in_policy
from .files import put_file
from .inodes import inodes_of
from .listing import Listing
from .policy import content_user
from .tree import Tree
from .values import text
from .words import plain
from .work import Work

KEPT_MANIFESTS = 16


def ask_manifest(work: Work, args: Args) -> Answer:
    """What a path contains now: its digest, which is equal on two servers exactly when the content is."""
    began = time.monotonic()
    path = args["path"]
    if path not in work.policy.paths and path not in work.policy.serve:
        raise not_in_policy("path", path, set(work.policy.paths) | work.policy.serve)
    try:
        tree = Tree(os.path.realpath(path))
    except OSError as error:
        raise Refused("no-content", f"{path}: {plain(error)}") from None
    inodes = inodes_of(work, path)
    listing = Listing(work, tree, inodes)
    text = listing.manifest.text()
    answer: Answer = {
        "digest": hashlib.sha256(text).hexdigest(),
        "files": listing.manifest.files,
        "bytes": listing.manifest.bytes,
        "newest_mtime": listing.newest_mtime,
        "skipped": listing.skipped,
        "skipped_count": listing.skipped_count,
        "stored": True,
    }
    try:
        inodes.save(listing.live)
        store_manifest(work, answer["digest"], text)
    except OSError as error:
        answer.update(stored=False, problem=plain(error))  # it can be compared, and not be pulled
    answer["seconds"] = time.monotonic() - began
    return answer


def store_manifest(work: Work, name: str, text: bytes) -> None:
    """Keep a manifest where others may pull it, with the fifteen before it."""
    folder = work.places.manifests
    os.makedirs(folder, mode=0o755, exist_ok=True)
    path = os.path.join(folder, name)
    if os.path.exists(path):
        os.utime(path)
        return
    put_file(path, text, 0o644, durable=False)
    user = content_user(work.policy)
    if user is not None:
        os.chown(path, 0, user[1])
        os.chmod(path, 0o640)
    files = sorted(os.scandir(folder), key=lambda entry: entry.stat().st_mtime, reverse=True)
    for old in files[KEPT_MANIFESTS:]:
        os.unlink(old.path)


ASKS = {"manifest": Verb(ask_manifest, {"path": text(4096)}, {})}


SLOW_ASKS = {"manifest": 600.0}
