"""YAML 1.2's core schema, every position, and no text that could harm the reader."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover.config.strict_yaml import MAX_BYTES, MAX_DEPTH, Document, NotYaml, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("NO", "NO"),
        ("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue"),
        ("null", None), ("~", None), ("", None), ("Null", None), ("nil", "nil"),
        ("12", 12), ("-7", -7), ("+7", 7), ("0", 0), ("010", "010"), ("0x1f", "0x1f"), ("1_000", "1_000"),
        ("1.5", 1.5), ("1.", 1.0), ("1e3", 1000.0), (".5", ".5"), ("1.2.3", "1.2.3"), (".inf", ".inf"),
        ("12:30:45", "12:30:45"), ("2026-11-24", "2026-11-24"), ("10.77.0.11", "10.77.0.11"), ("fd77::11", "fd77::11"),
        ('"12"', "12"), ("'true'", "true"), ('"a\\tb"', "a\tb"), ("统计", "统计"), ("= 1", "= 1"),
        ("9" * 18, int("9" * 18)), ("9" * 5000, "9" * 5000), ("1e999", "1e999"),
    ],
)  # fmt: skip
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = read(f"key: {text}\n".encode()).value["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_value_and_key_has_its_place() -> None:
    document = read("a:\n  b: [1, {c: 统计, d: x}]\n'e f': |\n  text\n".encode())
    assert document.value == {"a": {"b": [1, {"c": "统计", "d": "x"}]}, "e f": "text\n"}
    assert document.place(("a", "b")) == (2, 6)
    assert document.place(("a", "b"), key=True) == (2, 3)
    assert document.place(("a", "b", 0)) == (2, 7)
    assert document.place(("a", "b", 1, "d")) == (2, 21), "columns count characters, not bytes"
    assert document.place(("e f",), key=True) == (3, 1)
    assert document.place(("a", "b", 1, "nothing", "here")) == (2, 10), "what isn't there is at its nearest parent"


def test_an_alias_is_the_same_value_at_the_place_where_it_is_written_out() -> None:
    document = read(b"a: &x {k: 1}\nb: *x\n")
    assert document.value == {"a": {"k": 1}, "b": {"k": 1}}
    assert document.place(("b", "k")) == (1, 11)


def test_all_keys_that_stand_twice_are_named_and_the_first_counts() -> None:
    document = read(b"a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n")
    assert document.value == {"a": 1, "b": {"c": 1}}
    assert [(bad.line, bad.column, bad.path) for bad in document.problems] == [(2, 11, ("b",)), (3, 1, ()), (4, 1, ())]


def refused(data: bytes) -> NotYaml:
    began = time.monotonic()
    with pytest.raises(NotYaml) as caught:
        read(data)
    assert time.monotonic() - began < 10
    return caught.value


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_a_hundred_thousand_levels_end_at_forty(opening: str) -> None:
    assert "nested too deeply" in refused((opening * 100_000).encode()).sentence


def test_forty_levels_are_taken_and_one_more_is_not_whether_written_or_by_alias() -> None:
    deepest = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert read(f"a: {deepest}".encode()).value
    assert "nested too deeply" in refused(f"a: [{deepest}]".encode()).sentence
    half = "[" * 25 + "]" * 25
    assert "nested too deeply" in refused(f"a: &half {half}\nb: {'[' * 25}*half{']' * 25}".encode()).sentence


def test_a_billion_values_in_a_few_lines_are_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "its aliases followed" in refused("\n".join(lines).encode()).sentence


def test_a_file_that_is_too_large_is_not_even_looked_at() -> None:
    assert f"at most {MAX_BYTES}" in refused(b"a: [\n" * (MAX_BYTES // 5 + 1)).sentence


def test_a_dense_file_of_the_largest_size_ends_in_time() -> None:
    assert "values" in refused(b"[" + b"1," * (MAX_BYTES // 2 - 2) + b"]").sentence


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"a: \xff\n", 1, 4), ("统计: x\nb: 计".encode() + b"\xb6", 2, 5), (b"a: 1\nb: \x00", 2, 4),
        (b"\xef\xbb\xbfa: 1\nb: \x07", 2, 4),
    ],
)  # fmt: skip
def test_bytes_and_characters_that_are_no_text_are_named_by_place(data: bytes, line: int, column: int) -> None:
    found = refused(data)
    assert (found.line, found.column) == (line, column)


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert read("\ufeffsite: 1".encode()).value == {"site": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("site： x\na: 1", "the '：' in line 1 is full-width, YAML wants ':'"),
        ("a: [1，2\nb: 3", "the '，' in line 1 is full-width, YAML wants ','"),
        ("a:b\nc: d", "in line 1 the space after ':' is missing"),
        ("a:\n\tb: 1", "a tab can't indent; use spaces"),
        ("a: %x", "text can't begin with '%'; put it in quotes"),
    ],
)
def test_what_people_often_get_wrong_is_said(text: str, says: str) -> None:
    assert says in refused(text.encode()).sentence


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(alphabet="ab:-[]{},&*!|>'\"#%@`? \n\t01.~<", max_size=60), st.binary(max_size=40)))
def test_any_text_is_read_or_refused_with_a_place(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    found = read_or_refusal(data)
    if isinstance(found, NotYaml):
        assert min(found.line, found.column) >= 1
        assert found.sentence
    else:
        assert () in found.places


def read_or_refusal(data: bytes) -> Document | NotYaml:
    try:
        return read(data)
    except NotYaml as error:
        return error
