"""The helper is one file that the oldest Python on a server can run, made of its sources and of nothing else."""

from __future__ import annotations

import ast
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from failover.servers.helper_program import program
from tests.servers.speak import HELPER, SOURCES

with zipfile.ZipFile(HELPER) as archive:
    TREES = {name: ast.parse(archive.read(name), name, feature_version=(3, 6)) for name in archive.namelist()}
every_file = pytest.mark.parametrize("tree", TREES.values(), ids=TREES)

# Names of the standard library that came after Python 3.6, as calls, keywords and attributes.
LATER_KEYWORDS = {"capture_output", "text", "missing_ok", "strict", "encoding_errors", "dirs_exist_ok", "process_group"}
LATER_ATTRIBUTES = {
    "CLOCK_BOOTTIME",
    "fromisoformat",
    "removeprefix",
    "removesuffix",
    "prod",
    "nullcontext",
    "isascii",
    "pidfd_open",
    "cached_property",
    "waitstatus_to_exitcode",
    "time_ns",
    "clock_gettime_ns",
    "to_thread",
    "is_relative_to",
    "copy_file_range",
    "memfd_create",
    "getrandom_all",
    "create_server",
    "has_dualstack_ipv6",
    "monotonic_ns",
    "perf_counter_ns",
    "pairwise",
}
LATER_MODULES = {
    "dataclasses",
    "contextvars",
    "importlib.resources",
    "importlib.metadata",
    "zoneinfo",
    "tomllib",
    "graphlib",
}


def test_every_source_is_in_it() -> None:
    names = {f"failover_helper/{path.name}" for path in SOURCES.glob("*.py")} - {"failover_helper/__main__.py"}
    assert set(TREES) == names | {"__main__.py"}


@every_file
def test_the_oldest_grammar_reads_it(tree: ast.Module) -> None:
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.NamedExpr)]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]


@every_file
def test_nothing_newer_than_its_python_is_called(tree: ast.Module) -> None:
    found = [
        f"{node.arg}= at line {node.value.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg in LATER_KEYWORDS
    ]
    found += [
        f"{node.attr} at line {node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in LATER_ATTRIBUTES
    ]
    assert not found


@every_file
def test_it_imports_the_standard_library_and_itself_only(tree: ast.Module) -> None:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    assert not names & LATER_MODULES
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names) | {"failover_helper"}


def test_its_bytes_depend_on_the_sources_alone(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(SOURCES, copy)
    for path in sorted(copy.glob("*.py"), reverse=True):
        os.utime(path, (time.time() - 1e6, time.time() - 1e6))
        path.chmod(0o600)
    assert program(copy) == program(SOURCES) == HELPER.read_bytes()
    (copy / "core.py").write_text((copy / "core.py").read_text() + "# a change\n")
    assert program(copy) != program(SOURCES)


def test_it_is_read_with_any_viewer_and_starts_alone(tmp_path: Path) -> None:
    assert HELPER.read_bytes().startswith(b"#!/usr/bin/python3 -IS\n")
    assert (SOURCES / "core.py").read_bytes() in HELPER.read_bytes()
    alone = tmp_path / "failover-helper"
    shutil.copy(HELPER, alone)
    done = subprocess.run([alone, "what"], capture_output=True, timeout=20, check=False, cwd="/", env={"PATH": ""})
    assert (done.returncode, done.stderr[:22]) == (2, b"usage: failover-helper")
    assert [path.name for path in tmp_path.iterdir()] == ["failover-helper"], "it leaves nothing beside itself"


def test_an_installed_wheel_makes_the_same_program(tmp_path: Path) -> None:
    """The wheel holds the sources, so that whoever installed it enrolls servers with the same bytes."""
    root = Path(__file__).parent.parent.parent
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, tmp_path], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    wheel = tmp_path / done.stdout.split()[-1]
    with zipfile.ZipFile(io.BytesIO(wheel.read_bytes())) as packed:
        packed.extractall(tmp_path / "site")
    assert program(tmp_path / "site/failover/servers/helper") == program()


def test_a_newer_name_would_be_noticed() -> None:
    planted = ast.parse("subprocess.run(argv, capture_output=True); time.CLOCK_BOOTTIME")
    words = {node.arg for node in ast.walk(planted) if isinstance(node, ast.keyword)}
    words |= {node.attr for node in ast.walk(planted) if isinstance(node, ast.Attribute)}
    assert words & LATER_KEYWORDS
    assert words & LATER_ATTRIBUTES
