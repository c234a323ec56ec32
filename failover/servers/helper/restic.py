"""A restic repository as a second place of a set's backups: encrypted, and nothing is ever removed from it by us.

It is never made by us either: a repository that isn't there because its disk isn't mounted must not begin anew.
"""

import json
import os
import re
import subprocess
from typing import Any, List, Optional

from . import core
from .core import ENVIRONMENT, Answer, Failed, Refused, Work
from .shelf import Shelf

SECONDS = 4 * 3600.0


def put(shelf: Shelf, entry: Answer) -> Optional[str]:
    """Store a backup; why that wasn't possible, or None. Its catalogue then names the snapshot."""
    files = [entry["path"], f"{shelf.folder}/{entry['id']}.json"]
    tags = "{},{}".format(re.sub(r"[,\s]", "_", shelf.name), entry["id"])
    try:
        said = _restic(shelf, ["backup", "--json", "--tag", tags, "--host", shelf.work.policy.server, "--"] + files)
    except Refused as error:
        return str(error)
    for line in said.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("message_type") == "summary":
            entry["store"] = {"kind": "restic", "snapshot": str(found.get("snapshot_id", ""))}
            shelf.write(entry)
            return None
    return f"restic didn't say what it stored: {said[-300:]}"


def get(shelf: Shelf, entry: Answer, folder: str) -> str:
    """Bring a backup back into a folder; where it lies then.

    Raises:
        Failed: ``not-stored``, ``store-failed``.
    """
    snapshot = str((entry.get("store") or {}).get("snapshot", ""))
    if not re.match(r"[0-9a-f]{8,64}\Z", snapshot):
        raise Failed("not-stored", "{} isn't in the store".format(entry["id"]))
    path = f"{folder}/{os.path.basename(entry['path'])}"
    with open(path, "xb") as file:
        _restic(shelf, ["dump", snapshot, entry["path"]], stdout=file)
    return path


def _restic(shelf: Shelf, argv: List[str], stdout: Any = subprocess.PIPE) -> str:
    store = shelf.entry["store"]
    command = ["restic", "--repo", store["repository"], "--password-file", store["password_file"], "--no-cache"] + argv
    work: Work = shelf.work
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, env=ENVIRONMENT, cwd="/",
            preexec_fn=core.die_with_parent,
        )  # fmt: skip
    except OSError as error:
        raise Failed("store-failed", f"restic can't be run here: {core.plain(error)}") from None
    try:
        out, err = process.communicate(timeout=work.left(SECONDS))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed("store-failed", "restic took too long") from None
    if process.returncode:
        words = " ".join(err.decode("utf-8", "replace").split())[-400:]
        raise Failed("store-failed", f"restic {argv[0]}: {words or f'it ended with {process.returncode}'}")
    return out.decode("utf-8", "replace") if out else ""
