"""Imports point down, and deciding touches nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HELPER = ROOT / "failover/servers/helper"
LAYERS = [
    ["cli"],
    ["daemon"],
    ["console", "metrics", "monitor"],
    ["config"],
    ["recover"],
    ["probes", "notify"],
    ["servers", "journal", "decide", "backups"],
    ["model"],
    ["errors"],
]
LEVEL = {part: level for level, parts in enumerate(reversed(LAYERS)) for part in parts}
IO_MODULES = {
    "asyncio", "http", "httpx", "logging", "os", "paramiko", "pathlib", "psutil", "select", "shutil", "signal",
    "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
}  # fmt: skip


def modules() -> list[Path]:
    return sorted((ROOT / "failover").rglob("*.py"))


def part_of(module: str) -> str | None:
    names = module.split(".")
    return names[1] if len(names) > 1 and names[0] == "failover" else None


def imports(path: Path) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1 and path.parent == HELPER:
                continue  # a package of its own: it lies on the servers under another name
            assert node.level == 0, f"{path}:{node.lineno}: imports are written in full"
            base = node.module or ""
            found += [(f"{base}.{alias.name}" if base == "failover" else base, node.lineno) for alias in node.names]
    return found


def climbs(path: Path, mine: str) -> list[str]:
    """Every import of ``path`` that does not point down from the part ``mine``."""
    found = []
    for module, line in imports(path):
        other = part_of(module)
        if other is not None and other != mine and other in LEVEL and LEVEL[other] >= LEVEL[mine]:
            found.append(f"{path.name}:{line}: {mine} may not import {module}")
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    relative = path.relative_to(ROOT / "failover")
    mine = relative.parts[0].removesuffix(".py")
    if mine in ("__init__", "__main__"):
        return
    assert mine in LEVEL, f"{path}: {mine} has no place in the layers"
    assert not climbs(path, mine)


@pytest.mark.parametrize("path", sorted((ROOT / "failover/decide").glob("*.py")), ids=lambda path: path.name)
def test_deciding_touches_nothing(path: Path) -> None:
    used = [f"{path.name}:{line}: {module}" for module, line in imports(path) if module.split(".")[0] in IO_MODULES]
    assert not used


@pytest.mark.parametrize("path", sorted(HELPER.glob("*.py")), ids=lambda path: path.name)
def test_the_helper_needs_nothing_but_python(path: Path) -> None:
    ours = [module for module, _ in imports(path) if module.split(".")[0] == "failover"]
    assert not ours, "the helper is one file that is copied to the servers, without the rest"


@pytest.mark.parametrize(
    "line",
    [
        "from failover.monitor.monitor import Monitor",
        "import failover.recover.engine",
        "from failover import config",
        "def late():\n    from failover.servers.base import Server",
    ],
)
def test_a_climbing_import_is_noticed(tmp_path: Path, line: str) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(f"{line}\n")
    assert len(climbs(planted, "decide")) == 1


def test_an_import_that_points_down_is_fine(tmp_path: Path) -> None:
    fine = tmp_path / "fine.py"
    fine.write_text("import json\nfrom failover.decide.health import Health\nfrom failover.model import State\n")
    assert climbs(fine, "decide") == []
