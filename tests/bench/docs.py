"""Writes ``docs/benchmarks.md`` from the JSON of the parts: ``python -m tests.bench.docs``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.bench import results
from tests.bench.parts import PARTS

PAGE = results.REPOSITORY / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Made by `python -m tests.bench.docs` from what `make bench` measured last; not edited by hand. Each figure is a median
with the least and the most in brackets. We and our peers are measured in one run, in turn, on the same machine: the
ratios travel, the absolute figures hold for that machine and that hour only.
"""


def page(before: str = "") -> str:
    """The whole page; a part that wasn't measured on this machine stays as the page before has it."""
    kept = dict(re.findall(r"^## ([^\n]+)\n\n(.*?)(?=^## |\Z)", before, re.MULTILINE | re.DOTALL))
    text = [HEAD]
    for name, part in PARTS.items():
        data = results.read(name)
        title = name.replace("_", " ").capitalize()
        text.append(f"## {title}\n")
        if data is None:
            text.append(kept.get(title, "").strip() or f"Not measured yet: `python -m tests.bench {name}`.")
            text[-1] += "\n"
            continue
        text += [sheet.markdown() for sheet in part.sheets(data)]
        text.append(_where(data))
    return "\n".join(text)


def _where(data: dict[str, Any]) -> str:
    machine, load = data["machine"], data["load_1min"]
    changed = [line[3:] for line in data["uncommitted"]]
    more = f" with uncommitted changes in {', '.join(f'`{path}`' for path in changed)}" if changed else ""
    rounds = f"{data['rounds']} rounds, " if "rounds" in data else ""
    return (
        f"Measured at commit `{data['commit']}`{more}, {data['began_at'][:16].replace('T', ' ')} UTC, {rounds}"
        f"{machine['cpus']} CPUs, {machine['memory_gib']:.0f} GiB, kernel {machine['kernel']}, Python "
        f"{machine['python']}; load {load['median']:.1f} ({load['min']:.1f}–{load['max']:.1f}), others' work too.\n"
    )


def write(path: Path = PAGE) -> Path:
    """Write the page."""
    path.write_text(page(path.read_text() if path.exists() else ""))
    return path


def main() -> None:
    print(write())


if __name__ == "__main__":
    main()
