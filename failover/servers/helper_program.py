"""The helper as it lies on a server: its package as one executable zip (decision 6)."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

SOURCES = Path(__file__).parent / "helper"
PACKAGE = "failover_helper"
_SHEBANG = b"#!/usr/bin/python3 -IS\n"
_MAIN = f"import sys\n\nfrom {PACKAGE}.main import main\n\nsys.exit(main(sys.argv[1:]))\n"
_WHEN = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can tell


def program(sources: Path = SOURCES) -> bytes:
    """What enrolling puts on a server. Its bytes depend on the sources alone: neither on this machine nor on the day.

    Nothing is deflated, so that it is read with any text viewer, and no compiled code is in it, which would fit one
    version of Python only.
    """
    entries = {"__main__.py": _MAIN.encode()}
    entries.update({f"{PACKAGE}/{path.name}": path.read_bytes() for path in sources.glob("*.py")})
    del entries[f"{PACKAGE}/__main__.py"]  # for the sources; a zip begins at the top
    file = io.BytesIO()
    file.write(_SHEBANG)
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _WHEN)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, entries[name], zipfile.ZIP_STORED)
    return file.getvalue()
