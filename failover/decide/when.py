"""When a plan applies, as its author writes it: ``website is down and not wcm is down``.

::

    condition = both { "or" both }
    both      = term { "and" term }
    term      = "not" term | "(" condition ")" | CHECK "is" [ "not" ] ( "up" | "suspect" | "down" | "unknown" )

A check that has no verdict yet is ``unknown``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol

from failover.model import Standing

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
RESERVED_WORDS = frozenset({"and", "or", "not", "is"})
_DEEPEST = 50


class WhenError(ValueError):
    """The condition can't be read; ``column`` counts from 1."""

    def __init__(self, text: str, column: int, sentence: str) -> None:
        super().__init__(f"{text!r}, column {column}: {sentence}")
        self.text = text
        self.column = column
        self.sentence = sentence


class Condition(Protocol):
    """What the verdicts must be for a plan to apply."""

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that it speaks of, each once, in the order in which they are named."""
        ...

    def holds(self, standings: Mapping[str, Standing]) -> bool:
        """Whether it is so now."""
        ...


@dataclass(frozen=True, slots=True)
class Is:
    """``website is down``."""

    check: str
    standing: Standing

    @property
    def checks(self) -> tuple[str, ...]:
        """See :class:`Condition`."""
        return (self.check,)

    def holds(self, standings: Mapping[str, Standing]) -> bool:
        """See :class:`Condition`."""
        return standings.get(self.check, Standing.UNKNOWN) is self.standing

    def __str__(self) -> str:
        return f"{self.check} is {self.standing}"


@dataclass(frozen=True, slots=True)
class Not:
    """``not wcm is down``."""

    term: Condition

    @property
    def checks(self) -> tuple[str, ...]:
        """See :class:`Condition`."""
        return self.term.checks

    def holds(self, standings: Mapping[str, Standing]) -> bool:
        """See :class:`Condition`."""
        return not self.term.holds(standings)

    def __str__(self) -> str:
        return f"not {_bracketed(self.term, (All, Any_))}"


@dataclass(frozen=True, slots=True)
class All:
    """Terms joined by ``and``."""

    terms: tuple[Condition, ...]

    @property
    def checks(self) -> tuple[str, ...]:
        """See :class:`Condition`."""
        return tuple(dict.fromkeys(check for term in self.terms for check in term.checks))

    def holds(self, standings: Mapping[str, Standing]) -> bool:
        """See :class:`Condition`."""
        return all(term.holds(standings) for term in self.terms)

    def __str__(self) -> str:
        return " and ".join(_bracketed(term, (Any_,)) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Any_:  # noqa: N801 - typing has the other
    """Terms joined by ``or``."""

    terms: tuple[Condition, ...]

    @property
    def checks(self) -> tuple[str, ...]:
        """See :class:`Condition`."""
        return tuple(dict.fromkeys(check for term in self.terms for check in term.checks))

    def holds(self, standings: Mapping[str, Standing]) -> bool:
        """See :class:`Condition`."""
        return any(term.holds(standings) for term in self.terms)

    def __str__(self) -> str:
        return " or ".join(str(term) for term in self.terms)


def _bracketed(term: Condition, kinds: tuple[type, ...]) -> str:
    return f"({term})" if isinstance(term, kinds) else str(term)


def parse(text: str) -> Condition:
    """Read a condition.

    Raises:
        WhenError: a ``ValueError`` that names the column and what was expected there.
    """
    reader = _Reader(text)
    condition = reader.either(0)
    if reader.word is not None:
        reader.fail("'and', 'or' or the end", near=("and", "or"))
    return condition


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [(found.group(1), found.start(1) + 1) for found in _TOKEN.finditer(text)]
        self.place = 0

    @property
    def word(self) -> str | None:
        return self.tokens[self.place][0] if self.place < len(self.tokens) else None

    def take(self, word: str) -> bool:
        if self.word == word:
            self.place += 1
            return True
        return False

    def fail(self, expected: str, near: tuple[str, ...] = ()) -> NoReturn:
        column = self.tokens[self.place][1] if self.word is not None else len(self.text.rstrip()) + 1
        sentence = f"expected {expected}, found {'the end' if self.word is None else repr(self.word)}"
        if close := difflib.get_close_matches((self.word or "").lower(), near, 1, 0.5):
            sentence += f"; did you mean {close[0]!r}?"
        raise WhenError(self.text, column, sentence)

    def either(self, depth: int) -> Condition:
        terms = [self.both(depth)]
        while self.take("or"):
            terms.append(self.both(depth))
        return terms[0] if len(terms) == 1 else Any_(tuple(terms))

    def both(self, depth: int) -> Condition:
        terms = [self.term(depth)]
        while self.take("and"):
            terms.append(self.term(depth))
        return terms[0] if len(terms) == 1 else All(tuple(terms))

    def term(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            self.fail(f"at most {_DEEPEST} levels of brackets and 'not'")
        if self.take("not"):
            return Not(self.term(depth + 1))
        if self.take("("):
            inner = self.either(depth + 1)
            if not self.take(")"):
                self.fail("'and', 'or' or ')'", near=("and", "or"))
            return inner
        check = self.word
        if check is None or check in RESERVED_WORDS or check == ")":
            self.fail("the name of a check, 'not' or '('")
        self.place += 1
        if not self.take("is"):
            self.fail("'is'", near=("is",))
        negated = self.take("not")
        standings = tuple(standing.value for standing in Standing)
        if self.word not in standings:
            self.fail("'up', 'suspect', 'down' or 'unknown'", near=standings)
        term = Is(check, Standing(self.word))
        self.place += 1
        return Not(term) if negated else term
