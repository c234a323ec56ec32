"""From pydantic's errors to sentences that an operator can act on, each at its line and column."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from failover.config.strict_yaml import Document, Path


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'address'?``, or the list of what there is when it is short, or nothing."""
    names = sorted({str(name) for name in known})
    if close := difflib.get_close_matches(word, names, n=1, cutoff=0.6):
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(names)}" if 0 < len(names) <= 12 else ""


def tell(error: ErrorDetails, model: type[BaseModel], document: Document) -> tuple[Path, bool, str]:
    """A problem as path, whether it is about the key rather than the value, and sentence."""
    path, owner = _really_there(error["loc"], model, document)
    kind, context = error["type"], error.get("ctx", {})
    given = error.get("input")
    match kind:
        case "extra_forbidden":
            word = str(path[-1])
            return path, True, f"unknown key {word!r}{did_you_mean(word, _keys(owner))}"
        case "missing":
            return path[:-1] if path else path, False, f"the key {str(error['loc'][-1])!r} is missing"
        case "union_tag_not_found":
            return path, False, f"the key 'kind' is missing; it is one of {context.get('expected_tags', '')}".rstrip()
        case "union_tag_invalid":
            tag = str(context["tag"])
            tags = [text.strip().strip("'") for text in str(context["expected_tags"]).split(",")]
            return path, False, f"unknown kind {tag!r}{did_you_mean(tag, tags)}"
        case "value_error" | "assertion_error":
            return path, False, str(context.get("error", error["msg"]))
        case "literal_error" | "enum":
            return path, False, f"{_shown(given)} is not possible here; it is {context['expected']}"
        case "string_pattern_mismatch" if path and error["loc"][-1] == "[key]":
            return path, True, f"{str(given)!r} is no name: letters, digits, '-', '_' and '.', a letter first"
        case "string_pattern_mismatch":
            return path, False, f"{_shown(given)} is not of the form {context['pattern']}"
    if kind in _SAYS:
        return path, False, f"{_shown(given)} {_SAYS[kind].format(**context)}"
    return path, False, f"{_shown(given)}: {error['msg'][0].lower()}{error['msg'][1:]}"


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
    "model_attributes_type": "is not a mapping of keys to values",
    "tuple_type": "is not a list",
    "list_type": "is not a list",
    "set_type": "is not a list",
    "greater_than": "is too small; it must be more than {gt}",
    "greater_than_equal": "is too small; the least is {ge}",
    "less_than": "is too large; it must be less than {lt}",
    "less_than_equal": "is too large; the most is {le}",
    "too_short": "is too short; it needs at least {min_length}",
    "too_long": "is too long; it has at most {max_length}",
    "string_too_short": "is too short; it needs at least {min_length} characters",
    "string_too_long": "is too long; it has at most {max_length} characters",
}


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


def _really_there(loc: tuple[int | str, ...], model: type[BaseModel], document: Document) -> tuple[Path, Any]:
    """The path as the file has it, pydantic's own words (union tags, ``[key]``) left out; and the type that owns its end.

    A step is written ``released: {address: www}``, and known to pydantic as ``{kind: released, address: www}``: the
    kind, a union tag, is a key of the file there.
    """
    path: Path = ()
    value: Any = document.value
    owner: Any = model
    kind: Any = model
    for number, part in enumerate(loc):
        owner = kind
        last = number == len(loc) - 1
        if part == "[key]":
            continue
        tagged = _tagged(owner, part)
        if isinstance(value, dict) and part in value:
            path, value = (*path, part), value[part]
            kind = tagged or _below(owner, part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            path, value = (*path, part), value[part]
            kind = _below(owner, part)
        elif tagged is not None or not last:
            kind = tagged or _below(owner, part)
        else:
            path = (*path, part)
    return path, owner


def _strip(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _members(kind: Any) -> list[Any]:
    kind = _strip(kind)
    if get_origin(kind) in (typing.Union, types.UnionType):
        return [member for one in get_args(kind) for member in _members(one)]
    return [kind]


def _tagged(kind: Any, tag: object) -> Any:
    for member in _members(kind):
        if isinstance(member, type) and issubclass(member, BaseModel):
            info = member.model_fields.get("kind")
            if info is not None and tag in get_args(info.annotation):
                return member
    return None


def _below(kind: Any, part: object) -> Any:
    for member in _members(kind):
        origin, arguments = get_origin(member), get_args(member)
        if isinstance(member, type) and issubclass(member, BaseModel):
            for name, info in member.model_fields.items():
                if part in (name, info.alias):
                    return info.annotation
        elif origin is dict and isinstance(part, str):
            return arguments[1]
        elif origin in (tuple, list) and arguments:
            return arguments[0]
    return None


def _keys(kind: Any) -> set[str]:
    found: set[str] = set()
    for member in _members(kind):
        if isinstance(member, type) and issubclass(member, BaseModel):
            fields: dict[str, FieldInfo] = member.model_fields
            found |= {info.alias or name for name, info in fields.items()}
    return found
