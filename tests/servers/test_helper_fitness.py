"""The verb ``fitness``, asked of a real helper: what it lacks for its policy, and its programs' versions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.servers.speak import Home, Speaker


def fitness(home: Home, *prefix: str) -> dict[str, Any]:
    with Speaker(home, prefix) as speaker:
        answer = speaker.ask("fitness")
    result: dict[str, Any] = answer["result"]
    return result


def test_a_helper_with_all_its_powers_lacks_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path, paths=[{"path": "/srv/site"}], content_user="root", sources={"wcm": {"ssh": "10.77.0.21"}})
    assert fitness(home)["lacks"] == []


@pytest.mark.parametrize(
    ("dropped", "part"),
    [
        ("net_admin", "addresses"),
        ("net_raw", "addresses"),
        ("chown", "paths"),
        ("dac_override", "paths"),
        ("sys_ptrace", "services"),
    ],
)
def test_a_power_that_was_taken_away_is_named(tmp_path: Path, dropped: str, part: str) -> None:
    home = Home(tmp_path, paths=[{"path": "/srv/site"}], services=[{"unit": "wcm", "ports": [8000]}])
    lacks = fitness(home, "setpriv", f"--bounding-set=-{dropped}", f"--inh-caps=-{dropped}")["lacks"]
    assert lacks == [f"the helper has no capability {dropped} for the {part} of its policy"]


def test_what_the_policy_doesnt_speak_of_needs_no_power(tmp_path: Path) -> None:
    home = Home(tmp_path, addresses=[])
    assert fitness(home, "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")["lacks"] == []


def test_a_missing_user_for_content_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path, content_user="nobody-of-that-name", sources={"wcm": {"ssh": "10.77.0.21"}})
    assert fitness(home)["lacks"] == ["there is no user nobody-of-that-name, who pulls content"]


def test_a_manager_of_units_that_is_silent_is_named(tmp_path: Path) -> None:
    if shutil.which("systemctl") is None:
        pytest.skip("there is no systemctl here")
    home = Home(tmp_path, units=["nginx"])
    without_a_bus = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")
    (lack,) = [one for one in fitness(home, *without_a_bus)["lacks"] if "systemd" in one]
    assert lack.startswith("systemd doesn't answer: ")


def test_versions_are_those_of_the_policys_units_and_of_commands_that_say_so(tmp_path: Path) -> None:
    commands = {
        "wcm-version": ["/bin/echo", "WCM 4.2 build 77"],
        "restart-licence": ["/bin/false"],
        "broken-version": ["/bin/false"],
        "absent-version": ["/nowhere/wcm"],
    }
    found = fitness(Home(tmp_path, units=["nginx.service", "ghost"], commands=commands))["versions"]
    assert found.pop("nginx").count(".") == 2
    assert found == {"wcm-version": "WCM 4.2 build 77", "broken-version": "", "absent-version": ""}


def test_a_version_that_never_comes_holds_nothing_up(tmp_path: Path) -> None:
    home = Home(tmp_path, commands={"slow-version": ["/bin/sleep", "60"]})
    assert fitness(home)["versions"] == {"slow-version": ""}


def test_the_policy_is_told_as_it_lies_there(tmp_path: Path) -> None:
    home = Home(tmp_path, units=["nginx"])
    assert fitness(home)["policy"] == json.loads(home.policy_file.read_text())
