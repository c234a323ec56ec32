"""The systemd unit, judged by systemd."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"


def directives() -> list[tuple[str, str]]:
    lines = (UNITS / "failover.service").read_text().splitlines()
    return [
        (key, text)
        for line in lines
        if "=" in line and not line.startswith("#")
        for key, _, text in [line.partition("=")]
    ]


def exposure(unit: Path) -> float:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said.stdout)
    assert found, said.stdout + said.stderr
    return float(found[1])


def test_the_unit_exposes_little() -> None:
    assert exposure(UNITS / "failover.service") <= 2.0


def test_a_unit_that_is_less_hardened_is_noticed(tmp_path: Path) -> None:
    weak = tmp_path / "failover.service"
    text = (UNITS / "failover.service").read_text()
    weak.write_text(re.sub(r"^(SystemCallFilter|CapabilityBoundingSet|RestrictNamespaces)=.*$", "", text, flags=re.M))
    assert exposure(weak) > 2.0


def test_systemd_can_read_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "failover.service"
    text = (UNITS / "failover.service").read_text()
    unit.write_text(
        text.replace("/usr/bin/failover daemon", "/bin/true").replace("Documentation=man:failover(1)\n", "")
    )
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("Type", "notify"),
        ("WatchdogSec", "30"),
        ("RestartPreventExitStatus", "78"),
        ("User", "failover"),
        ("KillMode", "mixed"),
        ("StateDirectory", "failover"),
        ("RuntimeDirectory", "failover"),
        ("ConfigurationDirectory", "failover"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
    ],
)
def test_the_unit_says(key: str, text: str) -> None:
    assert (key, text) in directives()


def test_pings_are_possible_and_memory_can_be_read() -> None:
    given = dict(directives())
    assert given["AmbientCapabilities"] == "CAP_NET_RAW"
    assert {"AF_NETLINK", "AF_PACKET"} <= set(given["RestrictAddressFamilies"].split())
    assert given.get("ProcSubset") != "pid"


def test_users_and_folders_can_be_read() -> None:
    users = subprocess.run(
        ["systemd-sysusers", "--dry-run", "--no-pager", str(UNITS / "failover.sysusers")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert users.returncode == 0, users.stderr
    lines = [line.split() for line in (UNITS / "failover.tmpfiles").read_text().splitlines() if line.startswith("d")]
    assert ["d", "/etc/failover/keys", "0750", "root", "failover", "-"] in lines
    assert all(int(line[2], 8) & 0o007 == 0 for line in lines)


def test_the_parser_above_reads_what_systemd_reads() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(UNITS / "failover.service")
    assert parser["Service"]["WatchdogSec"] == dict(directives())["WatchdogSec"]
