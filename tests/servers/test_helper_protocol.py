"""What the helper says by itself, and what it makes of lines, spoken with through pipes as a real process."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers.helper_fixtures import COMMANDS, pythons
from tests.servers.speak import HELPER, Home, Speak, Speaker, boottime, kind


@pytest.mark.parametrize("python", pythons())
def test_it_greets_with_what_deadlines_and_drift_need(home: Home, speak: Speak, python: str) -> None:
    hello = speak(home, python=python).hello
    assert hello["protocol"] == 1
    assert hello["sha256"] == hashlib.sha256(HELPER.read_bytes()).hexdigest()
    assert hello["policy_sha256"] == hashlib.sha256(home.policy_file.read_bytes()).hexdigest()
    assert hello["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 <= boottime() - hello["boottime"] < 2


@pytest.mark.parametrize("python", pythons())
def test_facts_say_how_the_server_is(home: Home, speak: Speak, python: str) -> None:
    facts = speak(home, python=python).ask("facts")["result"]
    assert facts["disks"]["/"]["size_bytes"] > facts["disks"]["/"]["free_bytes"] > 0
    assert facts["memory"]["total_bytes"] > facts["memory"]["available_bytes"] > 0
    assert facts["cpus"] == os.cpu_count()
    assert facts["token"] is None
    assert facts["versions"]["kernel"] == os.uname().release
    assert any(entry["name"] == "lo" for entry in facts["interfaces"])
    assert facts["helper"]["sha256"] == hashlib.sha256(HELPER.read_bytes()).hexdigest()


def test_sections_limit_facts(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    pulse = {"hostname", "boot_id", "boottime", "time"}
    assert set(speaker.ask("facts", sections=[])["result"]) == pulse
    assert set(speaker.ask("facts", sections=["load"])["result"]) == {"load"} | pulse
    assert kind(speaker.ask("facts", sections=["lod"])) == ("bad-request", False)


def test_asks_run_beside_a_change(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    change = speaker.send(speaker.stamped("command", {"name": "nap"}, 3))
    assert "result" in speaker.ask("facts", sections=["load"], within=2)
    assert kind(speaker.reply(change)) == ("past-deadline", True)


# --- lines -----------------------------------------------------------------------------------------------------------

BAD_LINES = {
    "no json": b"hello",
    "a list": b"[1, 2]",
    "no verb": b'{"id": 7}',
    "no id": b'{"verb": "facts"}',
    "a float id": b'{"id": 1.5, "verb": "facts"}',
    "a true id": b'{"id": true, "verb": "facts"}',
    "a key twice": b'{"id": 7, "verb": "facts", "verb": "command"}',
    "NaN": b'{"id": 7, "verb": "facts", "deadline_seconds": NaN}',
    "an unknown key": b'{"id": 7, "verb": "facts", "shell": "true"}',
    "args no object": b'{"id": 7, "verb": "facts", "args": "x"}',
    "a verb no string": b'{"id": 7, "verb": ["facts"]}',
    "half a change": b'{"id": 7, "verb": "command", "args": {"name": "hello"}, "epoch": 1, "run": 1}',
    "a negative epoch": b'{"id": 7, "verb": "command", "args": {"name": "hello"}, "epoch": -1, "run": 1,'
    b' "boot_id": "x", "not_after": 1, "deadline_seconds": 1}',
    "not UTF-8": b'{"id": 7, "verb": "\xff"}',
    "deep": b'{"id": 7, "verb": "facts", "args": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "a huge number": b'{"id": 7, "verb": "facts", "deadline_seconds": ' + b"9" * 500_000 + b"}",
    "too long": b'{"id": 7, "verb": "' + b"x" * (1 << 20) + b'"}',
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
@pytest.mark.parametrize("python", pythons())
def test_a_bad_line_is_refused_and_the_next_one_answered(home: Home, speak: Speak, line: bytes, python: str) -> None:
    speaker = speak(home, python=python)
    speaker.raw(line + b"\n")
    reply = speaker.next_line()
    assert kind(reply) == ("bad-request", False)
    assert reply["id"] in (None, 7)
    assert "result" in speaker.ask("facts", sections=[])


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One helper for a thousand lines."""
    with Speaker(Home(tmp_path_factory.mktemp("patient") / "root", commands=COMMANDS)) as speaker:
        yield speaker


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "id": json_values,
        "verb": st.sampled_from(["facts", "address", "service", "manifest", "content", "see", "x"]) | json_values,
        "args": st.dictionaries(
            st.sampled_from(["ip", "path", "unit", "url", "sections", "probe", "want", "x"]), json_values
        )
        | json_values,
        "epoch": json_values,
        "run": json_values,
        "boot_id": json_values,
        "not_after": json_values,
        "deadline_seconds": json_values,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    line=requests.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200).filter(lambda b: b.strip())
)
def test_no_line_makes_it_fall(patient: Speaker, line: bytes) -> None:
    patient.raw(line.replace(b"\n", b" ") + b"\n")
    assert "result" in patient.reply(patient.send(patient.request("facts", {"sections": []})))
    for reply in patient.lines:
        assert reply.get("error", {}).get("kind") != "fault", reply
    patient.lines.clear()
