"""The config's JSON Schema, for editors: as people write it, with the short forms that the models read.

pydantic knows what a value is once it was read; a file may say ``ssh: 10.77.0.11`` or ``released: {address: www}``.
The schema is a help in writing; what counts is :func:`failover.config.load.load`, which sees more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from failover.config.model import CommonConfig, SiteConfig, WholeConfig
from failover.model import compact_span

Schema = dict[str, Any]

ONE_OR_MANY = (
    ("RoleSection", "address"),
    ("HttpExpect", "status"),
    ("HttpExpect", "contains"),
    ("HttpExpect", "not_contains"),
    ("FenceSettings", "off"),
    ("FenceSettings", "status"),
    ("DatabaseSet", "at"),
    ("FilesSet", "at"),
)
"""Lists that may be written as their only item."""


def schema_text() -> str:
    """The schema as the file that editors are given; the same models give the same text."""
    return json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n"


def json_schema() -> Schema:
    """JSON Schema 2020-12 of one file: a whole config, what is common to all sites, or one site."""
    found = WholeConfig.model_json_schema()
    defs: dict[str, Schema] = found.pop("$defs")
    _steps(defs["Plan"]["properties"]["steps"])
    for name in ("Address", "ServiceStopped"):
        _proofs(defs[name]["properties"]["release"], defs)
    for name, key in ONE_OR_MANY:
        _one_or_many(defs[name]["properties"], key)
    defs["SshSettings"] = {
        "description": defs["SshSettings"]["description"],
        "anyOf": [_SSH_WORDS, defs["SshSettings"]],
    }
    for part in [found, *defs.values()]:
        for schema in _inside(part):
            _plain(schema)
    needs = found.pop("required")  # of a site, once a file speaks of one; a file may also hold only what is common
    own = [name for name in SiteConfig.model_fields if name not in CommonConfig.model_fields]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "failover's config",
        **found,
        "dependentRequired": {name: [need for need in needs if need != name] for name in own},
        "$defs": dict(sorted(defs.items())),
    }


_SSH_WORDS: Schema = {"type": "string", "examples": ["10.77.0.11", "10.77.0.11:2222", "[fd77::11]:22"]}


def _refs(union: Schema) -> dict[str, Schema]:
    """The members of a union by their kinds."""
    return {kind: {"$ref": ref} for kind, ref in union["discriminator"]["mapping"].items()}


def _by_key(members: dict[str, Schema]) -> Schema:
    """``{KIND: {…}}``."""
    return {
        "type": "object",
        "properties": members,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def _steps(steps: Schema) -> None:
    members = _refs(steps["items"])
    steps["items"] = {"anyOf": [_by_key(members), steps["items"]]}


def _proofs(proofs: Schema, defs: dict[str, Schema]) -> None:
    members = _refs(proofs["items"])
    bare = [kind for kind, ref in members.items() if not _target(ref, defs).get("required")]
    settings = {kind: ref for kind, ref in members.items() if kind not in bare}
    by_key = [_by_key(settings)] if settings else []
    proofs["items"] = {"anyOf": [{"enum": bare}, *by_key, proofs["items"]]}
    proofs["default"] = [proof["kind"] for proof in proofs["default"]]


def _one_or_many(properties: Schema, key: str) -> None:
    many = properties[key]
    says = {name: many.pop(name) for name in ("description", "default") if name in many}
    if "minLength" in many:  # of the list, which has items and no characters
        many["minItems"] = many.pop("minLength")
    properties[key] = {**says, "anyOf": [many["items"], many]}


def _inside(schema: Any) -> Iterator[Schema]:
    """Every schema in it, itself the last."""
    if isinstance(schema, list):
        for one in schema:
            yield from _inside(one)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("properties", "patternProperties"):
                for one in value.values():
                    yield from _inside(one)
            elif key in ("items", "anyOf", "oneOf", "additionalProperties"):
                yield from _inside(value)
        yield schema


def _plain(schema: Schema) -> None:
    """Take out what says nothing to an editor, and say what pydantic's own schema leaves out."""
    for word in ("title", "format"):  # "path" is a format that nobody but pydantic knows
        schema.pop(word, None)
    if schema.pop("discriminator", None):
        schema["oneOf"] = [{**ref, "required": ["kind"]} for ref in schema["oneOf"]]
    if "patternProperties" in schema:
        schema["additionalProperties"] = False
    default = schema.get("default")
    if isinstance(default, float) and "ms|s|m" in str(schema.get("pattern")):
        schema["default"] = compact_span(default)


def _target(ref: Schema, defs: dict[str, Schema]) -> Schema:
    return defs[ref["$ref"].rpartition("/")[2]]
