"""What the helper answers, refuses and ends, spoken with through pipes as a real process."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers.helper_fixtures import Syslog, pythons
from tests.servers.speak import HELPER, Home, Speaker, boottime

Speak = Callable[..., Speaker]
COMMANDS = {
    "touch": ["/usr/bin/touch"],
    "hello": ["/bin/echo", "hello"],
    "nap": ["/bin/sleep", "30"],
    "nest": ["/bin/sh", "-c", "(setsid sleep 31 & ) ; sleep 32 & sleep 33"],
    "flood": ["/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"],
    "leave": ["/bin/sh", "-c", "echo left; sleep 29 &"],
    "fail": ["/bin/sh", "-c", "echo why; exit 3"],
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    stamp = ["/bin/sh", "-c", f"date +%s.%N >> {tmp_path}/stamps; sleep 0.3; date +%s.%N >> {tmp_path}/stamps"]
    return Home(tmp_path / "root", commands={**COMMANDS, "stamp": stamp}, see=["127.0.0.0/8"], units=["nginx"])


def kind(reply: dict[str, Any]) -> Any:
    return reply["error"]["kind"], reply["error"]["began"]


def alive(pattern: str) -> list[int]:
    """Processes whose command line ends so."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        if words == pattern:
            found.append(int(folder.name))
    return found


def until(true: Callable[[], Any], within: float = 5) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"not so within {within} s"
        time.sleep(0.01)


# --- hello, facts ----------------------------------------------------------------------------------------------------


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


# --- policy ----------------------------------------------------------------------------------------------------------

STOLEN = {
    "unknown verb": ("shell", {"command": "id"}),
    "foreign address": ("address", {"ip": "10.9.9.9", "interface": "eth0", "want": "held"}),
    "foreign interface": ("address", {"ip": "10.77.0.100", "interface": "lo", "want": "held"}),
    "other prefix": ("address", {"ip": "10.77.0.100", "interface": "eth0", "prefix": 8, "want": "held"}),
    "foreign unit": ("service", {"unit": "sshd", "want": "stopped"}),
    "unit as option": ("service", {"unit": "--all", "want": "stopped"}),
    "foreign command": ("command", {"name": "sh"}),
    "foreign path": ("content", {"path": "/etc", "source": "wcm"}),
    "climbing path": ("content", {"path": "/srv/../etc", "source": "wcm"}),
}


@pytest.mark.parametrize(("verb", "args"), STOLEN.values(), ids=STOLEN)
def test_a_stolen_key_gets_nothing_but_a_line_in_the_log(
    home: Home, speak: Speak, syslog: Syslog, verb: str, args: dict[str, Any]
) -> None:
    if verb == "content":
        args = {**args, "want": "synced", "digest": "0" * 64, "files": 1, "bytes": 1}
    assert kind(speak(home).change(verb, args)) == ("not-in-policy", False)
    assert any("refused " + verb in line for line in syslog.lines)


@pytest.mark.parametrize("args", [{"path": "/etc"}, {"path": "/srv/site/../../etc"}, {"path": "etc"}])
def test_no_manifest_of_another_path(home: Home, speak: Speak, args: dict[str, Any]) -> None:
    assert kind(speak(home).ask("manifest", **args)) == ("not-in-policy", False)


LOOKS = [{"ip": "10.0.0.1"}, {"url": "http://10.0.0.1/"}, {"ip": "::1", "port": 22}]


@pytest.mark.parametrize("args", LOOKS)
def test_no_look_at_another_network(home: Home, speak: Speak, args: dict[str, Any]) -> None:
    assert kind(speak(home).ask("see", **args)) == ("not-in-policy", False)


ODD_URLS = [
    "file:///etc/passwd",
    "http://localhost/",
    "http://127.0.0.1@10.0.0.1/",
    "http://127.0.0.1/ x",
    "http://127.0.0.1/\r\nX: y",
    "gopher://127.0.0.1/",
]


@pytest.mark.parametrize("url", ODD_URLS)
def test_only_plain_urls_are_looked_at(home: Home, speak: Speak, url: str) -> None:
    assert kind(speak(home).ask("see", url=url)) == ("bad-request", False)


def test_an_unknown_argument_is_refused(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    assert kind(speaker.change("command", {"name": "hello", "argv": ["/bin/sh"]})) == ("bad-request", False)
    assert kind(speaker.ask("address", ip="10.77.0.100", force=True)) == ("bad-request", False)
    assert kind(speaker.change("address", {"ip": "10.77.0.100"})) == ("bad-request", False)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_policy_that_others_may_write_is_not_followed(home: Home, speak: Speak, mode: int) -> None:
    speaker = speak(home)
    home.policy_file.chmod(mode)
    assert kind(speaker.ask("facts")) == ("bad-policy", False)
    assert kind(speaker.change("command", {"name": "hello"})) == ("bad-policy", False)
    home.policy_file.chmod(0o644)
    assert "result" in speaker.change("command", {"name": "hello"})


def test_the_policy_is_read_for_every_request(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    assert "result" in speaker.change("command", {"name": "hello"})
    home.write_policy(commands={})
    assert kind(speaker.change("command", {"name": "hello"})) == ("not-in-policy", False)
    home.policy_file.unlink()
    assert kind(speaker.change("command", {"name": "hello"})) == ("bad-policy", False)
    home.policy_file.symlink_to("/etc/hostname")
    assert kind(speaker.ask("facts")) == ("bad-policy", False)


@pytest.mark.parametrize(
    "policy",
    [
        {"units": ["-x"]},
        {"paths": [{"path": "/"}]},
        {"paths": [{"path": "/a/../b"}]},
        {"commands": {"x": ["sh"]}},
        {"adresses": []},
        {"see": ["10.0.0.1/8"]},
    ],
)
def test_a_policy_with_nonsense_is_not_followed(home: Home, speak: Speak, policy: dict[str, Any]) -> None:
    home.write_policy(**policy)
    assert kind(speak(home).ask("facts")) == ("bad-policy", False)


def test_sudo_can_not_be_led_to_another_root(home: Home) -> None:
    command = [pythons()[0], "-IS", str(HELPER), "--root", str(home.root)]
    done = subprocess.run(command, env={"SUDO_UID": "1000"}, capture_output=True, timeout=10, check=False)
    assert done.returncode == 2
    assert b"usage" in done.stderr


# --- token, boot, deadline -------------------------------------------------------------------------------------------

TOKENS = [
    ((1, 1), (1, 1), True),
    ((1, 1), (1, 2), True),
    ((1, 9), (2, 1), True),
    ((1, 2), (1, 1), False),
    ((2, 1), (1, 9), False),
    ((0, 1), (0, 0), False),
]


@pytest.mark.parametrize(("seen", "came", "may"), TOKENS)
def test_only_the_newest_token_acts(
    home: Home, speak: Speak, syslog: Syslog, seen: tuple[int, int], came: tuple[int, int], may: bool
) -> None:
    first = speak(home)
    first.token = seen
    assert "result" in first.change("command", {"name": "hello"})
    second = speak(home)  # another helper process, as after a new session
    second.token = came
    reply = second.change("command", {"name": "hello"})
    if may:
        assert reply["result"]["output"] == "hello\n"
        assert second.ask("facts", sections=["token"])["result"]["token"] == list(max(seen, came))
    else:
        assert kind(reply) == ("stale-token", False)
        assert any("stale-token" in line for line in syslog.lines)


def test_a_refused_request_leaves_no_token(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    assert kind(speaker.change("command", {"nome": "x"}, epoch=9)) == ("bad-request", False)
    assert kind(speaker.change("command", {"name": "hello"}, epoch=9, boot_id="other")) == ("other-boot", False)
    assert kind(speaker.change("command", {"name": "hello"}, epoch=9, not_after=1)) == ("past-deadline", False)
    assert speaker.ask("facts", sections=["token"])["result"]["token"] is None


def test_the_token_outlives_a_boot(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    speaker.token = (5, 5)
    assert "result" in speaker.change("command", {"name": "hello"})
    until(lambda: (home.state / "token").exists())
    for file in home.run.iterdir():
        file.unlink()
    again = speak(home)
    again.token = (5, 4)
    assert kind(again.change("command", {"name": "hello"})) == ("stale-token", False)


def test_a_request_for_another_boot_or_after_its_time_is_refused(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    args = {"name": "hello"}
    assert kind(speaker.change("command", args, boot_id="00000000-0000-0000-0000-000000000000")) == (
        "other-boot",
        False,
    )
    assert kind(speaker.change("command", args, not_after=boottime() - 0.01)) == ("past-deadline", False)
    assert kind(speaker.change("command", args, not_after=0)) == ("past-deadline", False)


def test_not_after_bounds_the_work_too_not_only_its_beginning(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    began = time.monotonic()
    assert kind(speaker.change("command", {"name": "nap"}, 20, not_after=boottime() + 0.5)) == ("past-deadline", True)
    assert time.monotonic() - began < 10


def test_a_client_that_was_stopped_comes_too_late(home: Home, speak: Speak, tmp_path: Path) -> None:
    """I3: a request held up on its way is refused, although its seconds would only begin to count now."""
    speaker = speak(home)
    request = json.dumps(speaker.stamped("command", {"name": "stamp"}, 1.0)) + "\n"
    held = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert held.stdin
    assert held.stdout
    held.send_signal(signal.SIGSTOP)
    held.stdin.write(request.encode())
    held.stdin.close()
    time.sleep(1.2)
    newer = speak(home)
    newer.token = (1, 2)
    assert "result" in newer.change("command", {"name": "hello"})
    held.send_signal(signal.SIGCONT)
    speaker.raw(held.stdout.read())
    held.wait()
    held.stdout.close()
    assert speaker.next_line()["error"]["kind"] in ("stale-token", "past-deadline")
    assert not (tmp_path / "stamps").exists()


@pytest.mark.parametrize("python", pythons())
def test_the_deadline_ends_everything_that_the_work_started(home: Home, speak: Speak, python: str) -> None:
    speaker = speak(home, python=python)
    number = speaker.send(speaker.stamped("command", {"name": "nest"}, 0.7))
    until(lambda: all(alive(f"sleep {seconds}") for seconds in (31, 32, 33)))
    reply = speaker.reply(number)
    assert kind(reply) == ("past-deadline", True)
    assert not [pid for seconds in (31, 32, 33) for pid in alive(f"sleep {seconds}")]


def test_work_keeps_its_time_when_its_helper_is_stopped(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    speaker.send(speaker.stamped("command", {"name": "nap"}, 1.0))
    until(lambda: alive("/bin/sleep 30"))
    speaker.process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: not alive("/bin/sleep 30"), 3)
    finally:
        speaker.process.send_signal(signal.SIGCONT)


def test_changes_run_one_at_a_time_even_from_two_processes(home: Home, speak: Speak, tmp_path: Path) -> None:
    first, second = speak(home), speak(home)
    one = first.send(first.stamped("command", {"name": "stamp"}))
    two = second.send(second.stamped("command", {"name": "stamp"}))
    three = first.send(first.stamped("command", {"name": "stamp"}))
    assert all("result" in reply for reply in (first.reply(one), second.reply(two), first.reply(three)))
    times = [float(line) for line in (tmp_path / "stamps").read_text().split()]
    assert len(times) == 6
    spans = sorted(zip(times[::2], times[1::2], strict=True))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_a_change_that_gets_no_turn_in_time_is_refused(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    first = speaker.send(speaker.stamped("command", {"name": "nap"}, 2.0))
    until(lambda: alive("/bin/sleep 30"))
    reply = speaker.change("command", {"name": "hello"}, 0.5)
    assert kind(reply) == ("busy", False)
    assert "command" in reply["error"]["message"]
    assert kind(speaker.reply(first)) == ("past-deadline", True)


def test_a_newer_token_ends_older_work_in_another_process(home: Home, speak: Speak, syslog: Syslog) -> None:
    old, new = speak(home), speak(home)
    number = old.send(old.stamped("command", {"name": "nest"}, 20))
    until(lambda: alive("sleep 33"))
    new.token = (1, 2)
    began = time.monotonic()
    assert new.change("command", {"name": "hello"})["result"]["output"] == "hello\n"
    assert time.monotonic() - began < 10
    reply = old.reply(number)
    assert kind(reply) == ("superseded", True)
    assert "1.2" in reply["error"]["message"]
    assert not [pid for seconds in (31, 32, 33) for pid in alive(f"sleep {seconds}")]
    assert any("a newer token came" in line for line in syslog.lines)


def test_the_same_token_doesnt_end_its_own_work(home: Home, speak: Speak, tmp_path: Path) -> None:
    speaker = speak(home)
    numbers = [speaker.send(speaker.stamped("command", {"name": "stamp"})) for _ in range(2)]
    assert all("result" in speaker.reply(number) for number in numbers)
    assert len((tmp_path / "stamps").read_text().split()) == 4


def test_a_session_that_ends_takes_its_work_with_it(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    speaker.send(speaker.stamped("command", {"name": "nest"}, 20))
    until(lambda: alive("sleep 31") and alive("sleep 33"))
    assert speaker.hang_up() == 0
    until(lambda: not [pid for seconds in (31, 32, 33) for pid in alive(f"sleep {seconds}")], 2)


def test_a_helper_that_is_killed_takes_its_work_with_it(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    speaker.send(speaker.stamped("command", {"name": "nap"}, 3))
    until(lambda: alive("/bin/sleep 30"))
    speaker.process.kill()
    until(lambda: not alive("/bin/sleep 30"), 1)
    other = speak(home)
    other.token = (1, 2)
    assert "result" in other.change("command", {"name": "hello"})


# --- output, log, places ---------------------------------------------------------------------------------------------


def test_output_is_capped(home: Home, speak: Speak) -> None:
    result = speak(home).change("command", {"name": "flood"})["result"]
    assert result["truncated"]
    assert len(result["output"]) == 65536


def test_a_failing_command_says_so(home: Home, speak: Speak) -> None:
    reply = speak(home).change("command", {"name": "fail"})
    assert kind(reply) == ("command-failed", True)
    assert reply["error"]["result"]["exit"] == 3
    assert reply["error"]["result"]["output"] == "why\n"


def test_the_end_of_a_command_counts_not_that_of_its_output(home: Home, speak: Speak) -> None:
    began = time.monotonic()
    assert speak(home).change("command", {"name": "leave"})["result"]["output"] == "left\n"
    assert time.monotonic() - began < 10


def test_every_change_is_in_the_log_before_and_after(home: Home, speak: Speak, syslog: Syslog) -> None:
    speak(home).change("command", {"name": "hello"})
    lines = [line for line in syslog.lines if "hello" in line]
    assert "begins command" in lines[0]
    assert "did command" in lines[1]
    assert lines[0].startswith("<85>failover-helper[")


def test_a_stopped_log_daemon_holds_nothing_up(home: Home, speak: Speak, syslog: Syslog) -> None:
    speaker = speak(home)
    began = time.monotonic()
    for _ in range(30):  # more datagrams than a socket holds; nobody reads them
        assert "result" in speaker.change("command", {"name": "hello"})
    assert time.monotonic() - began < 15


def test_nobody_reading_doesnt_stop_the_clock(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    for _ in range(400):
        speaker.send(speaker.request("facts", {"sections": []}))
    number = speaker.send(speaker.stamped("command", {"name": "nap"}, 1.0))
    until(lambda: alive("/bin/sleep 30"))
    until(lambda: not alive("/bin/sleep 30"), 3)
    assert kind(speaker.reply(number)) == ("past-deadline", True)


def test_too_many_questions_at_once_are_refused(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    numbers = [speaker.send(speaker.request("see", {"ip": "127.0.0.2", "timeout_seconds": 1})) for _ in range(40)]
    replies = [speaker.reply(number) for number in numbers]
    assert any("error" in reply and reply["error"]["kind"] == "busy" for reply in replies)
    assert sum(1 for reply in replies if "result" in reply) >= 16
