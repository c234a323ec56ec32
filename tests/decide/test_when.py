import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.decide.when import All, Any_, Condition, Is, Not, WhenError, parse
from failover.model import Standing

UP, SUSPECT, DOWN, UNKNOWN = Standing.UP, Standing.SUSPECT, Standing.DOWN, Standing.UNKNOWN


@pytest.mark.parametrize(
    ("text", "standings", "holds"),
    [
        ("website is down", {"website": DOWN}, True),
        ("website is down", {"website": SUSPECT}, False),
        ("website is down", {}, False),
        ("website is unknown", {}, True),
        ("website is not up", {"website": SUSPECT}, True),
        ("not website is up", {"website": UP}, False),
        ("website is down and not wcm is down", {"website": DOWN, "wcm": UP}, True),
        ("website is down and not wcm is down", {"website": DOWN, "wcm": DOWN}, False),
        ("a is down or b is down and c is down", {"a": DOWN}, True),
        ("(a is down or b is down) and c is down", {"a": DOWN}, False),
        ("not (a is down or b is down)", {"a": UP, "b": UP}, True),
        ("  网站 is down  ", {"网站": DOWN}, True),
        ("not not a is down", {"a": DOWN}, True),
    ],
)
def test_a_condition_holds_or_not(text: str, standings: dict[str, Standing], holds: bool) -> None:
    assert parse(text).holds(standings) is holds


def test_the_checks_are_named_once_in_order() -> None:
    assert parse("b is down and (a is up or not b is up) or c.d-1 is unknown").checks == ("b", "a", "c.d-1")


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("", 1, "expected the name of a check, 'not' or '(', found the end"),
        ("website", 8, "expected 'is', found the end"),
        ("website si down", 9, "expected 'is', found 'si'; did you mean 'is'?"),
        ("website is dwon", 12, "expected 'up', 'suspect', 'down' or 'unknown', found 'dwon'; did you mean 'down'?"),
        ("website is", 11, "expected 'up', 'suspect', 'down' or 'unknown', found the end"),
        ("website is down und wcm is down", 17, "expected 'and', 'or' or the end, found 'und'; did you mean 'and'?"),
        ("website is down and", 20, "expected the name of a check, 'not' or '(', found the end"),
        ("and is down", 1, "expected the name of a check, 'not' or '(', found 'and'"),
        ("(website is down", 17, "expected 'and', 'or' or ')', found the end"),
        ("website is down)", 16, "expected 'and', 'or' or the end, found ')'"),
        ("website is DOWN", 12, "expected 'up', 'suspect', 'down' or 'unknown', found 'DOWN'; did you mean 'down'?"),
        ("not " * 60 + "a is up", 205, "expected at most 50 levels of brackets and 'not', found 'not'"),
    ],
)
def test_what_cant_be_read_is_named_with_its_column(text: str, column: int, sentence: str) -> None:
    with pytest.raises(WhenError) as refused:
        parse(text)
    assert (refused.value.column, refused.value.sentence) == (column, sentence)
    assert str(refused.value) == f"{text!r}, column {column}: {sentence}"


def groups(terms: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(terms, min_size=2, max_size=3).map(tuple)
    return st.one_of(terms.map(Not), several.map(All), several.map(Any_))


conditions = st.recursive(st.builds(Is, st.sampled_from("abc"), st.sampled_from(Standing)), groups, max_leaves=8)


@given(conditions, st.fixed_dictionaries({name: st.sampled_from(Standing) for name in "abc"}))
def test_what_is_written_is_read_back_the_same(condition: Condition, standings: dict[str, Standing]) -> None:
    again = parse(str(condition))
    assert str(again) == str(parse(str(again)))
    assert again.holds(standings) == condition.holds(standings)
    assert set(again.checks) == set(condition.checks)


@given(st.text(alphabet="ab ()isnotdwupor\n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    column = 1
    try:
        parse(text)
    except WhenError as error:
        column = error.column
    assert 1 <= column <= len(text) + 1
