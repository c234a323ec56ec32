"""What the helper gives back and writes down: output of commands, the log, and nobody who reads."""

from __future__ import annotations

import time

from tests.servers.helper_fixtures import Syslog, alive
from tests.servers.speak import Home, Speak, kind
from tests.waiting import wait_until


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
    wait_until(lambda: alive("/bin/sleep 30"))
    wait_until(lambda: not alive("/bin/sleep 30"), 3)
    assert kind(speaker.reply(number)) == ("past-deadline", True)


def test_too_many_questions_at_once_are_refused(home: Home, speak: Speak) -> None:
    speaker = speak(home)
    numbers = [speaker.send(speaker.request("see", {"ip": "127.0.0.2", "timeout_seconds": 1})) for _ in range(40)]
    replies = [speaker.reply(number) for number in numbers]
    assert any("error" in reply and reply["error"]["kind"] == "busy" for reply in replies)
    assert sum(1 for reply in replies if "result" in reply) >= 16
