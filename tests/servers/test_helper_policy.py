"""What the policy doesn't name isn't done, whoever asks for it."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.servers.helper_fixtures import Syslog, pythons
from tests.servers.speak import HELPER, Home, Speak, kind

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
