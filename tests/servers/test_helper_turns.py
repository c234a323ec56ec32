"""Who may act, until when, and what becomes of work whose time is over: tokens, boots, deadlines, turns."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.servers.helper_fixtures import Syslog, alive, pythons
from tests.servers.speak import Home, Speak, boottime, kind
from tests.waiting import wait_until

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
    wait_until(lambda: (home.state / "token").exists())
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
    wait_until(lambda: all(alive(f"sleep {seconds}") for seconds in (31, 32, 33)))
    reply = speaker.reply(number)
    assert kind(reply) == ("past-deadline", True)
    assert not [pid for seconds in (31, 32, 33) for pid in alive(f"sleep {seconds}")]


def test_work_keeps_its_time_when_its_helper_is_stopped(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    speaker.send(speaker.stamped("command", {"name": "nap"}, 1.0))
    wait_until(lambda: alive("/bin/sleep 30"))
    speaker.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not alive("/bin/sleep 30"), 3)
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
    wait_until(lambda: alive("/bin/sleep 30"))
    reply = speaker.change("command", {"name": "hello"}, 0.5)
    assert kind(reply) == ("busy", False)
    assert "command" in reply["error"]["message"]
    assert kind(speaker.reply(first)) == ("past-deadline", True)


def test_a_newer_token_ends_older_work_in_another_process(home: Home, speak: Speak, syslog: Syslog) -> None:
    old, new = speak(home), speak(home)
    number = old.send(old.stamped("command", {"name": "nest"}, 20))
    wait_until(lambda: alive("sleep 33"))
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
    wait_until(lambda: alive("sleep 31") and alive("sleep 33"))
    assert speaker.hang_up() == 0
    wait_until(lambda: not [pid for seconds in (31, 32, 33) for pid in alive(f"sleep {seconds}")], 2)


def test_a_helper_that_is_killed_takes_its_work_with_it(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    speaker.send(speaker.stamped("command", {"name": "nap"}, 3))
    wait_until(lambda: alive("/bin/sleep 30"))
    speaker.process.kill()
    wait_until(lambda: not alive("/bin/sleep 30"), 1)
    other = speak(home)
    other.token = (1, 2)
    assert "result" in other.change("command", {"name": "hello"})
