"""Things in words for people."""

import json
import time


def plain(error: BaseException) -> str:
    """An error in words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return f"{type(error).__name__}: {error}" if not str(error) or isinstance(error, KeyError) else str(error)


def shown(path: bytes) -> str:
    """A path for people: control characters and what isn't UTF-8 escaped."""
    return json.dumps(path.decode("utf-8", "backslashreplace"), ensure_ascii=False)[1:-1][:500]


def size_text(size: float) -> str:
    """4.2 MB."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def utc_text(moment: float) -> str:
    """2026-11-24T02:00:00.123+00:00."""
    return "{}.{:03d}+00:00".format(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)), int(moment % 1 * 1000))
