"""The helper is one file that the oldest Python on a server can run."""

from __future__ import annotations

import ast
import sys

from tests.servers.speak import HELPER

TREE = ast.parse(HELPER.read_text(), feature_version=(3, 6))

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


def test_the_oldest_grammar_reads_it() -> None:
    assert not [node for node in ast.walk(TREE) if isinstance(node, ast.NamedExpr)]
    assert not [node for node in ast.walk(TREE) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]


def test_nothing_newer_than_its_python_is_called() -> None:
    found = [
        f"{node.arg}= at line {node.value.lineno}"
        for node in ast.walk(TREE)
        if isinstance(node, ast.keyword) and node.arg in LATER_KEYWORDS
    ]
    found += [
        f"{node.attr} at line {node.lineno}"
        for node in ast.walk(TREE)
        if isinstance(node, ast.Attribute) and node.attr in LATER_ATTRIBUTES
    ]
    assert not found


def test_it_imports_the_standard_library_only() -> None:
    names = {alias.name for node in ast.walk(TREE) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(TREE) if isinstance(node, ast.ImportFrom)}
    assert not names & LATER_MODULES
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_a_newer_name_would_be_noticed() -> None:
    planted = ast.parse("subprocess.run(argv, capture_output=True); time.CLOCK_BOOTTIME")
    words = {node.arg for node in ast.walk(planted) if isinstance(node, ast.keyword)}
    words |= {node.attr for node in ast.walk(planted) if isinstance(node, ast.Attribute)}
    assert words & LATER_KEYWORDS
    assert words & LATER_ATTRIBUTES
