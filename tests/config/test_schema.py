"""The JSON Schema that editors are given: current, and as strict as the loader where it can be."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from failover.config.schema import json_schema, schema_text
from failover.config.strict_yaml import read
from tests.config.json_schema import problems

CONFIGS = Path(__file__).parents[2] / "configs"
EXAMPLES = [CONFIGS / "lab.yaml", CONFIGS / "failover.example.yaml"]


def found(value: Any) -> list[str]:
    schema = json_schema()
    return list(problems(schema, value, schema))


@pytest.fixture
def lab() -> Any:
    return copy.deepcopy(read(EXAMPLES[0].read_bytes()).value)


def test_the_committed_schema_is_the_models() -> None:
    committed = (CONFIGS / "failover.schema.json").read_text()
    assert committed == schema_text(), "run: failover schema > configs/failover.schema.json"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_a_good_config_is_good_for_an_editor_too(file: Path) -> None:
    assert found(read(file.read_bytes()).value) == []


def test_a_file_may_hold_what_is_common_or_one_site_alone(lab: Any) -> None:
    common = {"channels": lab.pop("channels"), "store": {"path": "/var/lib/failover"}}
    assert found(common) == []
    assert found(lab) == []
    del lab["roles"]
    assert found(lab) == ["/: 'roles' is missing"]


WRONG: dict[str, tuple[tuple[Any, ...], Any]] = {
    "an unknown section": (("rolls",), {}),
    "an unknown key": (("servers", "web", "shh"), "10.77.0.11"),
    "a bare number as span": (("checks", "website", "every"), 5),
    "a span without unit": (("checks", "website", "every"), "5"),
    "an unknown kind of check": (("checks", "website", "kind"), "htpp"),
    "a check without kind": (("checks", "new"), {"url": "http://10.77.0.100/"}),
    "an unknown step": (("plans", "web", "steps", 0), {"relased": {"address": "www"}}),
    "a key of another step": (("plans", "web", "steps", 0), {"released": {"check": "website"}}),
    "two steps in one": (("plans", "web", "steps", 0), {"released": {"address": "www"}, "parked": {"address": "www"}}),
    "an unknown proof": (("addresses", "www", "release"), ["read-bakc"]),
    "silence without the sentence": (("addresses", "www", "release"), [{"silence": {"time": "60s"}}]),
    "an unknown mode": (("plans", "web", "mode"), "automatic"),
    "a name with a blank": (("servers", "web server"), {"ssh": "10.77.0.13"}),
    "no servers": (("servers",), {}),
    "text as number": (("checks", "website", "fall"), "3"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_editor_underlines(wrong: str, lab: Any) -> None:
    (*way, last), value = WRONG[wrong]
    place = lab
    for part in way:
        place = place[part]
    place[last] = value
    assert found(lab)


RIGHT: dict[str, tuple[tuple[Any, ...], Any]] = {
    "a step in full": (("plans", "web", "steps", 0), {"kind": "released", "address": "www"}),
    "ssh in full": (("servers", "web", "ssh"), {"host": "10.77.0.11", "port": 2222}),
    "one address": (("roles", "web", "address"), "www"),
    "two commands to fence": (("servers", "web", "fence", "off"), [["pdu", "1"], ["pdu", "2"]]),
    "several statuses": (("checks", "website", "expect", "status"), [200, "3xx"]),
    "silence, accepted": (
        ("addresses", "www", "release"),
        ["read-back", {"silence": {"time": "60s", "accept": "two servers may answer for this address at once"}}],
    ),
    "a Chinese name": (("servers", "备份机"), {"ssh": "10.77.0.13"}),
    "nothing to listen on": (("console",), {"listen": None}),
}


@pytest.mark.parametrize("right", RIGHT)
def test_an_editor_takes(right: str, lab: Any) -> None:
    (*way, last), value = RIGHT[right]
    place = lab
    for part in way:
        place = place[part]
    place[last] = value
    assert found(lab) == []


def test_spans_have_defaults_that_can_be_written() -> None:
    check = json_schema()["$defs"]["PingProbe"]["properties"]
    assert (check["every"]["default"], check["confirm_every"]["default"]) == ("5s", "200ms")
    assert "title" not in json.dumps(check)
