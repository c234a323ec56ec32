"""Measures us beside our peers, part by part, and writes ``docs/benchmarks.md`` from what came of it.

``python -m tests.bench [PART..]``; without a part, all of them: about two hours. ``python -m tests.bench.docs``
writes the page from what was measured last.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from tests.bench import docs, results
from tests.bench.parts import PARTS
from tests.lab import LabError, LabUnavailable


def main() -> int:
    """Exit code 0 only if every part that was asked for could be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without one, all")
    parser.add_argument("--no-page", action="store_true", help="leave docs/benchmarks.md as it is")
    given = parser.parse_args()
    console = Console(width=results.WIDTH)
    if unknown := [name for name in given.parts if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    failed = []
    for name in given.parts or PARTS:
        console.rule(name)
        try:
            data = PARTS[name].measure(say=console.print)
        except LabUnavailable as error:
            console.print(str(error), style="red")
            return 1
        except LabError as error:  # one part's trouble must not cost the others
            console.print(f"{name}: {error}", style="red")
            failed.append(name)
            continue
        for sheet in PARTS[name].sheets(data):
            sheet.show(console)
    if not given.no_page:
        console.print(f"written: {docs.write()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
