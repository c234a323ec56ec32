"""From one document's value to a model; what is wrong is left out, so that the rest can be looked at all the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar, get_origin

from pydantic import BaseModel, Field, ValidationError, create_model

from failover.config.exact import inexact
from failover.config.messages import Told, tell
from failover.config.model import WholeConfig
from failover.config.problem import Problem, shown
from failover.config.strict_yaml import Document, Path

Model = TypeVar("Model", bound=BaseModel)
ROUNDS = 3
"""Taking a wrong part out can show another: a section without entries, for example."""


@dataclass(frozen=True, slots=True)
class Checked(Generic[Model]):
    """What came of it."""

    model: Model | None
    """The whole, when nothing is wrong."""
    rest: Model | None
    """What is left without the wrong parts; may lack keys that the whole must have."""
    problems: tuple[Problem, ...]


def check(model: type[Model], value: dict[str, Any], document: Document, file: str) -> Checked[Model]:
    """Every problem of ``value`` that its own keys can tell, and what is good of it."""
    try:
        made = model.model_validate(value)
    except ValidationError as error:
        told = list(_told(error, document))
        rest = _rest(model, value, [one.path for one in told])
        told += [Told(path, sentence) for path, sentence in inexact(value, rest)] if rest is not None else []
        return Checked(None, rest, tuple(_problem(one, document, file) for one in told))
    told = [Told(path, sentence) for path, sentence in inexact(value, made)]
    return Checked(None if told else made, made, tuple(_problem(one, document, file) for one in told))


def at(found: Iterable[tuple[Path, str]], document: Document, file: str) -> list[Problem]:
    """Sentences about places as problems."""
    return [_problem(Told(path, sentence), document, file) for path, sentence in found]


def _told(error: ValidationError, document: Document) -> Iterator[Told]:
    told = [tell(one, WholeConfig, document) for one in error.errors(include_url=False)]
    meant = {(one.path[:-1], one.suggests) for one in told if one.suggests}
    said: set[tuple[Path, bool]] = set()
    for one in told:
        if one.misses is not None:
            if (one.path, one.misses) not in meant:  # its misspelling is named already
                yield one
        elif (one.path, one.key) not in said:  # each member of a union says why it isn't that
            said.add((one.path, one.key))
            yield one


def _problem(told: Told, document: Document, file: str) -> Problem:
    # What is missing is missed where its mapping is named: that is the line to look at.
    line, column = document.place(told.path, key=told.key or told.misses is not None)
    path = told.path[:-1] if told.key else told.path
    return Problem(file, line, column + told.column, shown(path, document), told.sentence)


def _rest(model: type[Model], value: dict[str, Any], wrong: list[Path]) -> Model | None:
    """The model of what is right, with nothing required at the top."""
    lenient = _lenient(model)
    left = value
    for _ in range(ROUNDS):
        left = _without(left, wrong)
        try:
            made: Model = lenient.model_validate(left)
        except ValidationError as error:
            wrong = [tuple(part for part in one["loc"]) for one in error.errors(include_url=False)]
        else:
            return made
    return None


@lru_cache
def _lenient(model: type[Model]) -> type[Model]:
    required = [name for name, info in model.model_fields.items() if info.is_required()]
    fields: dict[str, Any] = {
        name: (annotation, Field(default_factory=dict) if get_origin(annotation) is dict else None)
        for name in required
        if (annotation := model.model_fields[name].annotation) is not None
    }
    return create_model(f"RestOf{model.__name__}", __base__=model, **fields)


def _without(value: dict[str, Any], wrong: list[Path]) -> dict[str, Any]:
    """The value without the entries that those paths lead into: a check, a plan, or a whole section."""
    left = dict(value)
    for path in wrong:
        if not path or path[0] not in left:
            continue
        section, inside = str(path[0]), left[path[0]]
        if len(path) > 1 and isinstance(inside, dict) and section not in ("site", "watch", "store", "console"):
            left[section] = {name: entry for name, entry in inside.items() if name != path[1]}
        else:
            del left[section]
    return left
