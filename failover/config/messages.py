"""From pydantic's errors to sentences that an operator can act on, each at its line and column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, WithJsonSchema
from pydantic_core import ErrorDetails

from failover.config.shapes import Place, find, keys, kinds
from failover.config.strict_yaml import Document, Path
from failover.decide.when import WhenError
from failover.model import format_span

MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class Told:
    """A problem with a value, or with the key that it stands under."""

    path: Path
    sentence: str
    key: bool = False
    """It is about the key: where that stands, with the path of the mapping around it."""
    column: int = 0
    """How far into the value it is."""
    suggests: str | None = None
    """The key that was probably meant: that this one is missing needn't be said as well."""
    misses: str | None = None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'address'?``, or the list of what there is when it is short, or nothing."""
    names = list(dict.fromkeys(str(name) for name in known))
    if close := closest(word, names):
        return f"; did you mean {close!r}?"
    return f"; there is {', '.join(sorted(names))}" if 0 < len(names) <= MOST_LISTED else ""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The name that is most like this one, if any is."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), sorted(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def tell(error: ErrorDetails, model: type[BaseModel], document: Document) -> Told:
    """What an error says, in words that need no knowledge of programs."""
    place = find(error["loc"], model, document)
    path, kind, context = place.path, error["type"], error.get("ctx", {})
    given = document.at(path, error.get("input"))  # as it is written: pydantic's may be half read
    match kind:
        case "extra_forbidden":
            word, known = str(path[-1]), keys(place.owner)
            return Told(path, f"unknown key {word!r}{did_you_mean(word, known)}", True, suggests=closest(word, known))
        case "missing":
            word = str(error["loc"][-1])
            around = path[:-1] if path and path[-1] == word else path
            return Told(around, f"the key {word!r} is missing", misses=word)
        case "union_tag_not_found" | "union_tag_invalid" | "model_attributes_type":
            return _about_kind(place, error)
        case "value_error":
            return _own_words(path, context.get("error"), error["msg"], document)
        case "literal_error" | "enum":
            return Told(path, f"{_shown(given)} is not possible here; it is {context['expected']}")
        case "string_pattern_mismatch" if error["loc"][-1] == "[key]":
            return Told(path, f"{str(path[-1])!r} is no name; a name has letters, digits, '-', '_' and '.'", True)
        case "string_pattern_mismatch":
            form = FORMS.get(context["pattern"], f"of the form {context['pattern']}")
            return Told(path, f"{_shown(given)} is not {form}")
    if given is None:
        return Told(path, _NOTHING)
    if kind == "too_short" and not given:
        return Told(path, "it is empty; it needs at least one")
    words = "is not text" if kind == "string_type" and isinstance(given, dict | list) else _SAYS.get(kind)
    if words is None:
        return Told(path, f"{_shown(given)}: {error['msg'].replace('Input should', 'it should')}")
    advice = f"; write it as [{given}]" if kind in ("list_type", "tuple_type") and isinstance(given, str) else ""
    return Told(path, f"{_shown(given)} {words.format(**_limits(context, place))}{advice}")


FORMS = {
    r"^[A-Za-z0-9._-]{1,15}$": "the name of a network interface, as eth0",
    r"^[A-Za-z0-9:_.@-]{1,200}$": "the name of a systemd unit, as nginx",
    r"^[a-z_][a-z0-9_-]{0,31}$": "the name of an account, as failover",
    r"^https?://": "a web address, as https://robot.example.cn/send",
    r"^[^@\s]+@[^@\s]+$": "a mail address, as duty@example.cn",
}
"""What the models' patterns mean to people."""

_SAYS = {
    "string_type": "is not text; put it in quotes",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "dict_type": "is not a mapping of keys to values",
    "mapping_type": "is not a mapping of keys to values",
    "model_type": "is not a mapping of keys to values",
    "tuple_type": "is not a list",
    "list_type": "is not a list",
    "path_type": "is not the path of a file",
    "invalid-json-value": "is not a value that JSON knows",
    "greater_than": "is too small; it must be more than {gt}",
    "greater_than_equal": "is too small; the least is {ge}",
    "less_than": "is too large; it must be less than {lt}",
    "less_than_equal": "is too large; the most is {le}",
    "too_short": "is too short; it needs at least {min_length}",
    "too_long": "is too long; it has at most {max_length}",
    "string_too_short": "is too short; it needs at least {min_length} characters",
    "string_too_long": "is too long; it has at most {max_length} characters",
}


def is_span(place: Place) -> bool:
    """Whether the field is a span of time."""
    found = (one for one in (place.info.metadata if place.info else ()) if isinstance(one, WithJsonSchema))
    return any("200ms" in (one.json_schema or {}).get("examples", ()) for one in found)


def _limits(context: Mapping[str, Any], place: Place) -> dict[str, str]:
    show = format_span if is_span(place) else lambda number: f"{number:g}"
    shown = {name: show(value) if isinstance(value, int | float) else str(value) for name, value in context.items()}
    return {name: "0" if str(context[name]) in ("0", "0.0") else text for name, text in shown.items()}


_NOTHING = "there is nothing here; write a value, or leave the key out"
_ONE_KEY = {"steps": ("step", "released: {address: www}"), "release": ("proof of release", "read-back")}


def _about_kind(place: Place, error: ErrorDetails) -> Told:
    """A check, step, proof or channel of no kind, or of one that there isn't."""
    path, given, known = place.path, error.get("input"), kinds(place.kind)
    if given is None:
        return Told(path, _NOTHING)
    section = next((str(part) for part in reversed(path) if part in _ONE_KEY), None)
    what, example = _ONE_KEY.get(section or "", ("kind", ""))
    if error["type"] == "union_tag_invalid":
        tag = str(error.get("ctx", {}).get("tag"))
        if what == "kind":
            return Told((*path, "kind"), f"unknown kind {tag!r}{did_you_mean(tag, known)}")
        return Told(path, f"unknown {what} {tag!r}{did_you_mean(tag, known)}")
    if what == "kind":
        if isinstance(given, Mapping):
            return Told(path, f"the key 'kind' is missing; there is {', '.join(sorted(known))}")
        return Told(path, f"{_shown(given)} is not a mapping of keys to values")
    if isinstance(given, Mapping) and len(given) > 1:
        first = next(iter(given))
        indented = "; indent its settings further than its name" if given[first] is None else ""
        return Told(path, f"a {what} has one key, its name, and this one has {', '.join(map(str, given))}{indented}")
    return Told(path, f"{_shown(given)} is no {what}; write it as {example!r}")


def _own_words(path: Path, error: object, message: str, document: Document) -> Told:
    if isinstance(error, WhenError):
        text = error.text
        start = 1 if path in document.quoted else 0
        return Told(path, f"{text!r}: {error.sentence}", column=error.column - 1 + start if "\n" not in text else 0)
    return Told(path, str(error) if error is not None else message)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "this mapping"
    if isinstance(value, list | tuple):
        return "this list"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
