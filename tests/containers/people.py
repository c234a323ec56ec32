"""What the visitor of the containers said, read again."""

import re
from collections.abc import Sequence

PAGE, QUERY = "/", "/query/"
"""The site's first page, and the one that asks the database while a visitor waits."""


def about(lines: Sequence[str], path: str) -> list[str]:
    """The lines about one page."""
    return [line for line in lines if re.match(rf"[\d:]+ [\w.:]+{re.escape(path)} ", line)]


def outages(lines: Sequence[str], path: str) -> list[float]:
    """How long a page wasn't there, each time, in seconds."""
    spans = (re.search(r"\(for ([\d.]+) s before: (?!200 )", line) for line in about(lines, path))
    return [float(span[1]) for span in spans if span]


def sees_well(lines: Sequence[str], path: str) -> bool:
    """Whether a page was there when it was last asked for."""
    found = about(lines, path)
    return bool(found) and f"{path} 200 " in found[-1]
