"""As much of JSON Schema 2020-12 as the config's schema uses; a keyword unknown here is an error, not a pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip
_SAYS_ONLY = {"description", "default", "examples", "title", "$schema", "$defs"}


def problems(schema: Schema, value: Any, root: Schema, path: str = "") -> Iterator[str]:
    """Every reason why ``value`` isn't as ``schema`` says, led by its place."""
    for keyword, wanted in schema.items():
        if keyword not in _SAYS_ONLY:
            for why in _check(keyword, wanted, schema, value, root, path):
                yield f"{path or '/'}: {why}" if not why.startswith("/") else why


def _check(keyword: str, wanted: Any, schema: Schema, value: Any, root: Schema, path: str) -> Iterator[str]:
    match keyword:
        case "$ref":
            yield from problems(root["$defs"][wanted.removeprefix("#/$defs/")], value, root, path)
        case "type":
            if not isinstance(value, _TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean"):
                yield f"{value!r} is no {wanted}"
        case "const" | "enum":
            if value not in (wanted if keyword == "enum" else [wanted]):
                yield f"{value!r} is not {wanted!r}"
        case "anyOf" | "oneOf":
            tried = [list(problems(one, value, root, path)) for one in wanted]
            fitting = sum(not found for found in tried)
            if fitting == 0 or (keyword == "oneOf" and fitting > 1):
                yield f"{value!r} fits {fitting} of {len(wanted)}: {tried}"
        case "pattern":
            if isinstance(value, str) and not re.search(wanted, value, re.ASCII):
                yield f"{value!r} doesn't match {wanted}"
        case "minLength" | "maxLength" if isinstance(value, str):
            yield from _bounds(keyword, wanted, len(value))
        case "minItems" | "maxItems" if isinstance(value, list):
            yield from _bounds(keyword, wanted, len(value))
        case "minProperties" | "maxProperties" if isinstance(value, dict):
            yield from _bounds(keyword, wanted, len(value))
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" if isinstance(value, int | float):
            yield from _bounds(keyword, wanted, value)
        case "required" if isinstance(value, dict):
            yield from (f"{key!r} is missing" for key in wanted if key not in value)
        case "dependentRequired" if isinstance(value, dict):
            needs = {need for key, keys in wanted.items() if key in value for need in keys}
            yield from (f"{need!r} is missing" for need in sorted(needs) if need not in value)
        case "items" if isinstance(value, list):
            for number, item in enumerate(value):
                yield from problems(wanted, item, root, f"{path}/{number}")
        case "properties" if isinstance(value, dict):
            for key in wanted.keys() & value.keys():
                yield from problems(wanted[key], value[key], root, f"{path}/{key}")
        case "patternProperties" if isinstance(value, dict):
            for pattern, one in wanted.items():
                for key in value:
                    if re.search(pattern, key, re.ASCII):
                        yield from problems(one, value[key], root, f"{path}/{key}")
        case "additionalProperties" if isinstance(value, dict):
            patterns = schema.get("patternProperties", {})
            for key in value.keys() - schema.get("properties", {}).keys():
                if any(re.search(pattern, key, re.ASCII) for pattern in patterns):
                    continue
                if wanted is False:
                    yield f"{key!r} is unknown"
                elif wanted is not True:
                    yield from problems(wanted, value[key], root, f"{path}/{key}")
        case _:
            known = {
                "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
                "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "required", "dependentRequired",
                "items", "properties", "patternProperties", "additionalProperties",
            }  # fmt: skip
            assert keyword in known, f"the schema says {keyword!r}, which this check doesn't know"


def _bounds(keyword: str, wanted: float, given: float) -> Iterator[str]:
    good = {
        "min": given >= wanted, "max": given <= wanted, "exclusiveMin": given > wanted, "exclusiveMax": given < wanted
    }[re.split("imum|Length|Items|Properties", keyword)[0]]  # fmt: skip
    if not good:
        yield f"{given} breaks {keyword} {wanted}"
