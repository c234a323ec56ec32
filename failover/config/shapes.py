"""Where in the file a place of the models is: pydantic's own words left out, and which keys could stand there."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from failover.config.strict_yaml import Document, Path


@dataclass(frozen=True, slots=True)
class Place:
    """A place of the file, and what the models know of it."""

    path: Path
    owner: Any
    """The type that the last part of the path belongs to."""
    kind: Any
    """The type of what stands there; None where the models know nothing of it."""
    info: FieldInfo | None
    """The field that it is, for a key of a model."""


def find(loc: tuple[int | str, ...], model: type[BaseModel], document: Document) -> Place:
    """The place that pydantic's ``loc`` means.

    A step is written ``released: {address: www}``, and known to pydantic as ``{kind: released, address: www}``: the
    kind, a union's tag in ``loc``, is a key of the file there. Elsewhere it is the value of the key ``kind``.
    """
    path: Path = ()
    value: Any = document.value
    owner: Any = model
    kind: Any = model
    info: FieldInfo | None = None
    for number, part in enumerate(loc):
        if part == "[key]":
            continue
        tagged = tagged_by(kind, part)
        if tagged is not None and not (isinstance(value, dict) and part in value and "kind" not in value):
            kind, info = tagged, None
            continue
        owner = kind
        there = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        )
        if not there and number < len(loc) - 1:
            continue  # a word of pydantic's own, as the name of a union's member
        if not there and (isinstance(part, int) or _below(owner, part)[0] is None):
            continue
        path = (*path, part)
        value = value[part] if there else None
        kind, info = (tagged, None) if tagged is not None else _below(owner, part)
    return Place(path, owner, kind, info)


def members(kind: Any) -> Iterator[Any]:
    """The types that a union is made of, or the one that isn't a union."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (typing.Union, types.UnionType):
        for one in get_args(kind):
            yield from members(one)
    else:
        yield kind


def models(kind: Any) -> list[type[BaseModel]]:
    """The models among its members."""
    return [one for one in members(kind) if isinstance(one, type) and issubclass(one, BaseModel)]


def kind_of(model: type[BaseModel]) -> str | None:
    """The value of ``kind`` by which a model of a union is known."""
    info = model.model_fields.get("kind")
    words = get_args(info.annotation) if info is not None else ()
    return str(words[0]) if words else None


def kinds(kind: Any) -> list[str]:
    """The kinds that a union knows."""
    return [word for model in models(kind) if (word := kind_of(model)) is not None]


def tagged_by(kind: Any, tag: object) -> type[BaseModel] | None:
    """The member of a union that is known by that kind; None where there is no choice."""
    found = models(kind)
    return next((model for model in found if kind_of(model) == tag), None) if len(found) > 1 else None


def keys(kind: Any) -> dict[str, FieldInfo]:
    """The keys that may stand in a mapping of this type, as people write them."""
    return {info.alias or name: info for model in models(kind) for name, info in model.model_fields.items()}


def _below(kind: Any, part: object) -> tuple[Any, FieldInfo | None]:
    for member in members(kind):
        origin, arguments = get_origin(member), get_args(member)
        if isinstance(member, type) and issubclass(member, BaseModel):
            if isinstance(part, str) and (info := keys(member).get(part)) is not None:
                return info.annotation, info
        elif isinstance(part, str) and isinstance(origin, type) and issubclass(origin, Mapping):
            return arguments[1], None
        elif isinstance(part, int) and origin in (tuple, list) and arguments:
            return arguments[0], None
    return None, None
