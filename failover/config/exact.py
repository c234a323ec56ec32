"""What pydantic bends and people don't mean: ``fall: "3"`` is no number, ``verify: yes`` no truth, ``0.5`` no span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, WithJsonSchema

from failover.config.shapes import kind_of
from failover.config.strict_yaml import Path

Found = Iterator[tuple[Path, str]]


def inexact(raw: Any, made: Any, path: Path = ()) -> Found:
    """Values that were turned from another type, with their paths."""
    if isinstance(made, BaseModel):
        yield from _model(raw, made, path)
    elif isinstance(made, Mapping):
        if isinstance(raw, Mapping):
            for key, value in made.items():
                if key in raw:
                    yield from inexact(raw[key], value, (*path, key))
    elif isinstance(made, tuple | list):
        if isinstance(raw, list) and len(raw) == len(made):
            for number, value in enumerate(made):
                yield from inexact(raw[number], value, (*path, number))
        elif len(made) == 1:
            yield from inexact(raw, made[0], path)
    elif isinstance(made, bool):
        if not isinstance(raw, bool):
            yield path, f"{raw!r} is neither true nor false"
    elif type(made) is int:
        if type(raw) is not int:
            yield path, f"{_shown(raw)} is not a whole number" + ("; leave the quotes out" if _number(raw) else "")
    elif isinstance(made, float) and (isinstance(raw, bool) or _number(raw)):
        yield path, f"{_shown(raw)} is not a number" + ("; leave the quotes out" if _number(raw) else "")


def _model(raw: Any, made: BaseModel, path: Path) -> Found:
    if not isinstance(raw, Mapping):
        return
    kind = kind_of(type(made))
    if kind is not None and kind in raw and "kind" not in raw and len(raw) == 1:
        raw, path = raw[kind], (*path, kind)  # a step: its kind is its key
        if not isinstance(raw, Mapping):
            return
    for name, info in type(made).model_fields.items():
        key = info.alias or name
        if key not in raw:
            continue
        if isinstance(raw[key], float) and any(isinstance(one, WithJsonSchema) for one in info.metadata):
            yield (
                (*path, key),
                f"{raw[key]} is not a span of time; write it with a unit, as 200ms, 10s, 5m, 26h or 7d",
            )
        else:
            yield from inexact(raw[key], getattr(made, name), (*path, key))


def _number(raw: Any) -> bool:
    return isinstance(raw, str) and raw.replace(".", "", 1).lstrip("+-").isdigit()


def _shown(raw: Any) -> str:
    return str(raw).lower() if isinstance(raw, bool) else repr(raw)
