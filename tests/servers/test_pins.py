"""Pinned host keys, checked against ssh-keygen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from failover.errors import ConfigError
from failover.servers.pins import HostKey, read_pins, write_pins
from tests.servers.sshd import make_key


def public(folder: Path, name: str) -> HostKey:
    return HostKey.parse(make_key(folder / name).with_suffix(".pub").read_text())


def test_a_fingerprint_is_what_ssh_keygen_shows(tmp_path: Path) -> None:
    key = public(tmp_path, "one")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "one.pub"], capture_output=True, text=True, check=True
    ).stdout
    assert key.fingerprint == shown.split()[1]


def test_what_is_pinned_is_found_again_also_by_openssh(tmp_path: Path) -> None:
    pins, one, two = tmp_path / "keys/known_hosts", public(tmp_path, "one"), public(tmp_path, "two")
    assert write_pins(pins, "10.77.0.11", 22, [one])
    assert write_pins(pins, "fd77::11", 2222, [two])
    assert not write_pins(pins, "10.77.0.11", 22, [one]), "nothing to change"
    assert read_pins(pins, "10.77.0.11", 22) == (one,)
    assert read_pins(pins, "10.77.0.11", 2222) == ()
    for name, key in (("10.77.0.11", one), ("[fd77::11]:2222", two)):
        found = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", pins], capture_output=True, text=True, check=True
        ).stdout
        assert str(key) in found
    assert write_pins(pins, "10.77.0.11", 22, [two]), "rotated"
    assert read_pins(pins, "10.77.0.11", 22) == (two,)
    assert read_pins(pins, "fd77::11", 2222) == (two,), "the others' are left alone"
    assert write_pins(pins, "10.77.0.11", 22, [])
    assert read_pins(pins, "10.77.0.11", 22) == ()


@pytest.mark.parametrize(
    "line", ["@cert-authority * ssh-ed25519 AAAA", "|1|abc= ssh-ed25519 AAAA", "web ssh-ed25519 AAAA", "web"]
)
def test_a_file_with_a_strange_line_is_trusted_in_nothing(tmp_path: Path, line: str) -> None:
    pins = tmp_path / "known_hosts"
    pins.write_text(f"# ours\n\n10.77.0.11 {public(tmp_path, 'one')}\n{line}\n")
    with pytest.raises(ConfigError, match=r"known_hosts:4:1: "):
        read_pins(pins, "10.77.0.11", 22)
