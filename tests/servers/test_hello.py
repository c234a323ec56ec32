"""The server's clock as the monitor knows it: often a little behind, never ahead."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from failover.servers.hello import Hello, HelperClock
from failover.servers.lines import BadLine, LineReader, clean, greeting


def hello(boottime: float) -> Hello:
    return Hello(protocol=1, version="1", boot_id="b", boottime=boottime)


@pytest.mark.parametrize("rate", [0.9999, 1.0, 1.0001])
def test_a_month_of_drift_never_puts_it_ahead_and_barely_behind(rate: float) -> None:
    chance = random.Random(7)  # noqa: S311

    def theirs(ours: float) -> float:
        return 5000 + ours * rate

    clock = HelperClock(hello(theirs(0)), received=0.02)
    for ours in range(5, 30 * 86400, 50_000):
        for moment in range(ours, ours + 50, 5):
            travelled = chance.choice([0.001, 0.002, 1.5])
            clock.learn({"boottime": theirs(moment), "boot_id": "b"}, moment + travelled)
        behind = theirs(ours + 50) - clock.at(ours + 50)
        assert -0.005 < behind < 0.02, "4 ms is what 100 ppm make of 40 s"


@pytest.mark.parametrize("answer", [{}, {"boottime": "1e9"}, {"boottime": None}, {"boottime": 1e9, "boot_id": "other"}])
def test_an_answer_that_says_nothing_of_this_clock_changes_nothing(answer: dict[str, object]) -> None:
    clock = HelperClock(hello(100), received=50)
    clock.learn(answer, 51)
    assert clock.at(60) == 110


@pytest.mark.parametrize("bad", [{"boottime": -1}, {"boottime": float("nan")}, {"boot_id": ""}, {"version": "x" * 101}])
def test_a_hello_that_makes_no_sense_is_none(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Hello.model_validate({"protocol": 1, "version": "1", "boot_id": "b", "boottime": 1.0, **bad})


def test_a_hello_is_found_among_noise_and_may_say_more() -> None:
    assert greeting(b"Welcome!") is None
    assert greeting(b'{"hello": "world"}') is None
    assert greeting(b'{"hello"' + b"[" * 100_000) is None
    line = b'{"hello": {"protocol": 1, "version": "9", "boot_id": "b", "boottime": 1.5, "new": []}}'
    found = greeting(line)
    assert found is not None
    assert found.version == "9"


def test_lines_are_cut_wherever_the_pieces_end() -> None:
    text = b"one\n\ntwo\nthree"
    for size in range(1, len(text) + 1):
        reader = LineReader(100)
        lines = [line for at in range(0, len(text), size) for line in reader.feed(text[at : at + size])]
        assert [*lines, *reader.rest()] == [b"one", b"", b"two", b"three"]


def test_a_line_that_is_too_long_ends_it_or_is_cut() -> None:
    with pytest.raises(BadLine, match="more than 10 bytes"):
        list(LineReader(10).feed(b"0123456789a"))
    cut = LineReader(10, overlong="cut")
    assert max(len(line) for line in [*cut.feed(b"x" * 95 + b"\n"), *cut.rest()]) <= 10


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"), ("\x1b]0;title\x07bell\x07", "bell"), ("a\nb\tc", "a b c"),
        ("\u202egnp.exe", "gnp.exe"), ("\x9b31mred", "31mred"), ("厦门", "厦门"), ("x" * 50, "x" * 19 + "…"),
    ],
)  # fmt: skip
def test_text_of_a_server_is_made_fit_to_be_shown(text: str, shown: str) -> None:
    assert clean(text, 20) == shown
