"""However a config is spoilt, the answer is a config or a list of places with sentences; never anything else."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failover.config.load import load
from failover.config.strict_yaml import read
from failover.errors import ConfigError
from tests.config.conftest import LAB

VALUE = read(LAB.read_bytes()).value
LINE = re.compile(r"[^:]+\.yaml:\d+:\d+: \S.*", re.DOTALL)
JARGON = re.compile(
    r"(input|string|list|tuple|dictionary|value|data|url) should|field required|extra inputs|unable to|value error"
    r"|validation|NoneType|pydantic|<class|Traceback|\bdict\b|\btuple\b",
    re.IGNORECASE,
)
WORDS = (
    "web", "wcm", "www", "website", "kind", "http", "10.77.0.11", "10.77.0.100/24", "5s", "0s", "-1s", "1e9d", "on",
    "auto", "{holder}", "{nobody}", "http://{holder}/", "", "\0", "厦门", "is down", "released", "../x", "/srv/site",
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**19), 10**19), st.floats(allow_nan=True), st.sampled_from(WORDS),
    st.text(max_size=8),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, one in items for inner in places(one, (*path, key)))]


PLACES = [place for place in places(VALUE) if place]


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    value = copy.deepcopy(VALUE)
    for _ in range(draw(st.integers(1, 4))):
        *way, last = draw(st.sampled_from(PLACES))
        parent = value
        try:
            for part in way:
                parent = parent[part]
            old = parent[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
        if isinstance(parent, str):
            continue
        match draw(st.sampled_from(["put", "drop", "rename", "twice", "wrap", "swap"])):
            case "put":
                parent[last] = draw(values)
            case "drop":
                del parent[last]
            case "rename" if isinstance(parent, dict):
                parent[draw(st.sampled_from([str(last)[1:], f"{last}s", *WORDS]))] = parent.pop(last)
            case "twice" if isinstance(parent, list):
                parent.append(copy.deepcopy(old))
            case "wrap":
                parent[last] = draw(st.sampled_from([[old], {"kind": old}, {str(last): old}]))
            case "swap":
                other = value
                for part in draw(st.sampled_from(PLACES)):
                    try:
                        other = other[part]
                    except (KeyError, IndexError, TypeError):
                        break
                parent[last] = copy.deepcopy(other)
    return value


def judged(file: Path, text: bytes) -> None:
    file.write_bytes(text)
    problems: tuple[str, ...] = ()
    try:
        sites = load(file, trusted=True).sites
    except ConfigError as error:
        sites, problems = (), error.problems
    assert bool(sites) is not bool(problems)
    for problem in problems:
        assert LINE.fullmatch(problem), problem
        assert not JARGON.search(problem), problem


@given(spoilt())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spoilt_values_are_answered_with_sentences(tmp_path: Path, value: Any) -> None:
    judged(tmp_path / "failover.yaml", yaml.safe_dump(value, allow_unicode=True).encode())


@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spoilt_text_is_answered_with_sentences(tmp_path: Path, data: st.DataObject) -> None:
    text = LAB.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 30))
        text = (
            text[:at]
            + data.draw(st.binary(max_size=6) | st.sampled_from([b"\n", b"\t", b": ", b"*a", b"&a "]))
            + text[at + gone :]
        )
    judged(tmp_path / "failover.yaml", text)
