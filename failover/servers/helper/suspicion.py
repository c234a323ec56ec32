"""Reasons not to copy from a source: one that lost much of what it had is in trouble, not a new version (C7)."""

import os
from typing import Optional

from .errors import Answer, Args, Refused
from .manifest import Manifest
from .releases import Releases
from .work import Work


def suspect_totals(releases: Releases, args: Args) -> None:
    """Refuse a source that has far fewer files or bytes than the last verified copy."""
    last, most = _last(releases), args.get("max_loss_percent", 20)
    if not args["files"] and most < 100:
        raise Refused("source-suspect", f"{args['source']} has no file at all")
    if last is None:
        return
    for what in ("files", "bytes"):
        loss = 100.0 * (last[what] - args[what]) / last[what] if last[what] else 0.0
        if loss > most:
            sentence = f"{args['source']} has {args[what]} {what}, the last verified copy has {last[what]}"
            raise Refused("source-suspect", f"{sentence}: {loss:.1f} % fewer, allowed are {most:g} %")


def suspect_paths(work: Work, releases: Releases, args: Args, wanted: Manifest) -> None:
    """Refuse one whose files are gone: as many files under other names are a loss too."""
    last, most = _last(releases), args.get("max_loss_percent", 20)
    try:
        with open(os.path.join(work.places.manifests, last["digest"] if last else ""), "rb") as file:
            before = Manifest.parse(file.read())
    except (OSError, ValueError):
        return
    lost = {record.split(b" ", 4)[4] for record in before.records - wanted.records if record[:1] == b"f"}
    gone = len(lost - {record.split(b" ", 4)[4] for record in wanted.records - before.records})
    loss = 100.0 * gone / before.files if before.files else 0.0
    if loss > most:
        sentence = f"{gone} of {before.files} files of the last verified copy are gone from {args['source']}"
        raise Refused("source-suspect", f"{sentence}: {loss:.1f} %, allowed are {most:g} %")


def _last(releases: Releases) -> Optional[Answer]:
    for name in releases.likeliest_first():
        record = releases.record(name)
        if record is not None:
            return record
    return None
