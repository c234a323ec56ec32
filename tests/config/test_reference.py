"""Every key of every model is explained: in docs/config.md, and by the example where it must be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from failover.config.load import load
from failover.config.reference import every_key, flow, page
from failover.config.shapes import keys
from failover.config.strict_yaml import read

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "configs/failover.example.yaml"
PAGE = ROOT / "docs/config.md"
KEYS = sorted(every_key(), key=lambda each: (each[0].__name__, each[1]))


def test_the_page_is_what_the_models_say() -> None:
    made = page(EXAMPLE.read_bytes())
    assert PAGE.read_text() == made, "run: python -m failover.config.reference > docs/config.md"


def test_the_example_is_a_good_config_without_a_warning() -> None:
    config = load(EXAMPLE, trusted=True)
    assert config.warnings == ()
    assert config.site().name == "厦门市统计信息网"


def test_every_part_of_a_config_is_among_the_keys() -> None:
    models = {model.__name__ for model, _ in KEYS}
    assert {"SiteSection", "HttpProbe", "HttpExpect", "SilenceProof", "ContentSynced", "WebhookChannel"} <= models
    assert len(KEYS) > 200


@pytest.mark.parametrize(("model", "key"), KEYS, ids=lambda part: part if isinstance(part, str) else part.__name__)
def test_a_key_is_described_where_it_is_declared_and_stands_on_the_page(model: type[BaseModel], key: str) -> None:
    info = keys(model)[key]
    if key == "kind":
        return  # it is what the heading says
    assert info.description, "the field has no description"
    assert f"| `{key}` |" in PAGE.read_text()


def test_every_key_that_must_be_there_is_in_the_example() -> None:
    text = EXAMPLE.read_text()
    missing = [
        f"{model.__name__}.{key}" for model, key in KEYS if keys(model)[key].is_required() and f"{key}:" not in text
    ]
    assert missing == []


def test_every_section_of_the_example_has_a_comment() -> None:
    lines = EXAMPLE.read_text().splitlines()
    bare = [
        line
        for number, line in enumerate(lines)
        if line[:1].isalpha() and "#" not in line and not lines[number - 1].startswith("#")
    ]
    assert bare == []


@pytest.mark.parametrize(
    "value", ["a", "on", "true", "3", "null", "a: b", "#x", "", "[", "{x}", "统计", 'a"b', "*x", "- x"]
)
def test_a_text_is_written_so_that_it_is_read_as_the_same_text(value: str) -> None:
    assert read(flow({"key": [value]}).encode()).value == {"key": [value]}
