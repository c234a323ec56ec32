"""docs/config.md from the models, so that it can't say anything else: ``python -m failover.config.reference``.

Examples are taken from configs/failover.example.yaml, which is loaded like any config.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, WithJsonSchema
from pydantic.fields import FieldInfo

from failover.config.first import scalar
from failover.config.model import CommonConfig, SiteConfig, WholeConfig
from failover.config.shapes import keys, kind_of, members, models, tagged_by
from failover.config.strict_yaml import read
from failover.model import compact_span
from failover.notify import Channel
from failover.probes import Probe

EXAMPLE = Path("configs/failover.example.yaml")
SHARED: tuple[type[BaseModel], ...] = (Probe, Channel)
"""Bases whose keys all kinds have: told once, and again only where a kind has its own default or meaning."""
LONGEST_EXAMPLE = 70

Examples = dict[tuple[type[BaseModel], str], Any]


def page(example: bytes) -> str:
    """The whole page.

    Raises:
        NotYaml: the example can't be read.
    """
    examples: Examples = {}
    _note(WholeConfig, read(example).value, examples)
    words = resources.files("failover.config").joinpath("reference.md").read_text(encoding="utf-8")
    return "".join([words, *_sections(examples)])


def every_key() -> Iterator[tuple[type[BaseModel], str]]:
    """Every key of every model of a config, as people write it."""
    for model in _all(WholeConfig, "", {}):
        for key in keys(model):
            yield model, key


def _sections(examples: Examples) -> Iterator[str]:
    yield "\n## The sections of a site\n\n" + _table(SiteConfig, examples)
    yield "\n## The sections that all sites of a daemon share\n\n" + _table(CommonConfig, examples)
    told: dict[type[BaseModel], str] = {}
    for key, info in {**keys(SiteConfig), **keys(CommonConfig)}.items():
        family = {model: title for model, title in _all(info.annotation, key, {}).items() if model not in told}
        told |= family
        if not family:
            if key == "witnesses":
                yield f"\n## {key}\n\n{info.description} Kinds and keys are those of `checks`; a list, or by name.\n"
            continue
        yield f"\n## {key}\n\n{info.description or ''}\n"
        base = next((base for base in SHARED if any(issubclass(model, base) for model in family)), None)
        if base is not None:
            yield f"\n### `{key}.NAME`, of every kind\n\n" + _table(base, examples, but=("kind",))
        for model, title in family.items():
            yield _model(model, title, examples)


def _model(model: type[BaseModel], title: str, examples: Examples) -> str:
    kind = kind_of(model)
    if kind is not None:
        title = f"`{title}`, kind `{kind}`"
        says = " ".join((model.__doc__ or "").replace("``", "`").split()) + "\n\n"
    else:
        title, says = f"`{title}`", ""
    base = next((base for base in SHARED if issubclass(model, base)), None)
    same = [key for key, info in keys(base).items() if _alike(info, keys(model)[key])] if base else []
    return f"\n### {title}\n\n{says}" + _table(model, examples, but=("kind", *same))


def _alike(one: FieldInfo, other: FieldInfo) -> bool:
    return one.default == other.default and one.description == other.description


def _table(model: type[BaseModel], examples: Examples, but: tuple[str, ...] = ()) -> str:
    rows = [
        f"| `{key}` | {_cell(info.description or '')} | {_default(info)} | {_shown(examples.get((model, key)))} |\n"
        for key, info in keys(model).items()
        if key not in but
    ]
    if not rows:
        return "No key but `kind`.\n" if "kind" in keys(model) else ""
    return "| key | meaning | default | example |\n|---|---|---|---|\n" + "".join(rows)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "must be there"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, float) and any(isinstance(one, WithJsonSchema) for one in info.metadata):
        return f"`{compact_span(value)}`"
    if isinstance(value, BaseModel) or value in (None, (), {}):
        return ""
    if isinstance(value, tuple) and all(isinstance(one, BaseModel) for one in value):
        value = [one.kind for one in value]
    return _shown(value)


def _shown(value: Any) -> str:
    """A value as one writes it in one line of YAML, or nothing where it's too long for a table."""
    text = "" if value is None else flow(value)
    return f"`{_cell(text)}`" if 0 < len(text) <= LONGEST_EXAMPLE and "`" not in text else ""


def flow(value: Any) -> str:
    """A value in YAML's flow style, in which every text is read back as the same text."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(one) for one in value) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, str | Path):
        return json.dumps(value)
    return scalar(str(value))


def _all(kind: Any, title: str, found: dict[type[BaseModel], str]) -> dict[type[BaseModel], str]:
    """Every model that may stand in a value of that type, outer ones first, with the place where it first does."""
    for one in members(kind):
        if isinstance(one, type) and issubclass(one, BaseModel):
            if one not in found:
                found[one] = title
                for key, info in keys(one).items():
                    _all(info.annotation, f"{title}.{key}".lstrip("."), found)
        elif get_origin(one) is not None:
            for inner in get_args(one):
                _all(inner, f"{title}.NAME" if get_origin(one) is dict else title, found)
    return found


def _note(kind: Any, value: Any, examples: Examples) -> None:
    """Remember for every key the first value that the example gives it."""
    if isinstance(value, dict):
        word = value.get("kind") or (next(iter(value)) if len(value) == 1 else None)
        model = tagged_by(kind, word) or next(iter(models(kind)), None)
        if model is None:
            for one in members(kind):
                for inside in value.values() if get_origin(one) is dict else ():
                    _note(get_args(one)[1], inside, examples)
            return
        if word is not None and "kind" not in value and word == kind_of(model) and isinstance(value[word], dict):
            value = value[word]
        for key, info in keys(model).items():
            if key in value:
                for owner in {model, *(base for base in SHARED if issubclass(model, base) and key in keys(base))}:
                    examples.setdefault((owner, key), value[key])
                _note(info.annotation, value[key], examples)
    elif isinstance(value, list):
        for one in members(kind):
            for inside in value if get_origin(one) in (tuple, list) else ():
                _note(get_args(one)[0], inside, examples)


if __name__ == "__main__":
    sys.stdout.write(page(EXAMPLE.read_bytes()))
