"""systemd units on a real host of the lab, through the helper as it is installed there."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.fixtures import shared_lab
from tests.servers.speak import HELPER, Speaker

pytestmark = pytest.mark.lab

lab = shared_lab("web")
PROGRAM = "/usr/libexec/failover-helper"
UNITS = {
    "slow": "Type=notify\nExecStart=/bin/sleep 100\nTimeoutStartSec=60",
    "flaky": "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/test -e /run/allowed",
    "stubborn": "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\nTimeoutStopSec=60",
}


class Installed(Speaker):
    """The helper where enrolling puts it, started on a lab host."""

    def __init__(self, host: Any) -> None:
        self.process = subprocess.Popen(host.argv([PROGRAM]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.token = (1, 1)
        self.lines = []
        self._numbers = iter(range(1, 10**9))
        self._buffer = b""
        self.hello = self.next_line()["hello"]


@pytest.fixture(scope="module")
def helper(lab: Lab) -> Any:
    policy = {"site": "t", "server": "web", "units": ["nginx", "ghost", *UNITS], "addresses": []}
    lab.web.write(PROGRAM, HELPER.read_bytes(), mode="755")
    lab.web.write("/etc/failover-helper/policy.json", json.dumps(policy))
    for name, lines in UNITS.items():
        lab.web.write(
            f"/etc/systemd/system/{name}.service",
            f"[Unit]\nStartLimitIntervalSec=1000\nStartLimitBurst=4\n[Service]\n{lines}\n",
        )
    lab.web.run("systemctl daemon-reload")
    with Installed(lab.web) as speaker:
        yield speaker


def change(helper: Speaker, unit: str, want: str, seconds: float = 10) -> dict[str, Any]:
    return helper.change("service", {"unit": unit, "want": want}, seconds)


def test_a_unit_stops_and_starts(lab: Lab, helper: Speaker) -> None:
    assert change(helper, "nginx", "stopped")["result"]["active"] == "inactive"
    assert lab.web.run("systemctl is-active nginx", check=False).out.strip() == "inactive"
    started = change(helper, "nginx", "running")["result"]
    assert (started["load"], started["active"], started["sub"]) == ("loaded", "active", "running")
    assert started["main_pid"] == int(lab.web.run("systemctl show -p MainPID --value nginx").out)
    assert abs(time.time() - started["since"]) < 10
    again = change(helper, "nginx.service", "running")["result"]
    assert again["main_pid"] == started["main_pid"], "what runs is left alone"
    anew = change(helper, "nginx", "restarted")["result"]
    assert anew["main_pid"] != started["main_pid"]


def test_what_isnt_there_or_masked_is_said(lab: Lab, helper: Speaker) -> None:
    assert change(helper, "ghost", "running")["error"]["kind"] == "no-such-unit"
    assert change(helper, "ghost", "stopped")["result"]["active"] == "inactive"
    lab.web.run("systemctl stop nginx; systemctl mask nginx")
    assert change(helper, "nginx", "running")["error"]["kind"] == "unit-masked"
    lab.web.run("systemctl unmask nginx")


def test_the_holder_of_a_busy_port_is_named_and_left_alone(lab: Lab, helper: Speaker) -> None:
    change(helper, "nginx", "stopped")
    thief = lab.web.start(["python3", "-m", "http.server", "80"])
    lab.web.run("for i in $(seq 50); do ss -ltn | grep -q ':80 ' && break; sleep 0.1; done")
    reply = change(helper, "nginx", "running", 20)
    assert (reply["error"]["kind"], reply["error"]["began"]) == ("start-failed", True)
    (holder,) = reply["error"]["result"]["ports"]
    assert (holder["port"], holder["pid"]) == (80, int(lab.web.run("pgrep -f 'http.server 80'").out.split()[0]))
    assert holder["program"].startswith("/usr/bin/python3")
    assert thief.running
    thief.stop()
    assert change(helper, "nginx", "running")["result"]["active"] == "active"


def test_a_start_limit_is_reset_once(lab: Lab, helper: Speaker) -> None:
    lab.web.run("for i in 1 2 3 4 5 6 7; do systemctl start flaky; done", check=False)
    lab.web.run("touch /run/allowed")
    done = lab.web.run("systemctl start flaky; journalctl -q -n 5 -o cat -u flaky", check=False)
    assert "repeated too quickly" in done.out, "the lab's unit really hit its limit"
    assert change(helper, "flaky", "running")["result"]["active"] == "active"


def test_nothing_goes_on_starting_past_the_deadline(lab: Lab, helper: Speaker) -> None:
    began = time.monotonic()
    reply = change(helper, "slow", "running", 2)
    kind = reply["error"]["kind"]  # whoever of the worker and its keeper sees first that the time is over
    assert (kind in ("timeout", "past-deadline"), reply["error"]["began"]) == (True, True), reply
    assert time.monotonic() - began < 4
    if kind == "timeout":
        assert reply["error"]["result"]["job"] is None
    assert lab.web.run("systemctl list-jobs --no-legend").out.strip() == ""


def test_a_unit_that_wont_stop_is_said(lab: Lab, helper: Speaker) -> None:
    assert change(helper, "stubborn", "running")["result"]["active"] == "active"
    reply = change(helper, "stubborn", "stopped", 2)
    assert reply["error"]["kind"] == "timeout"
    assert reply["error"]["result"]["active"] == "deactivating"


def test_facts_know_the_services(helper: Speaker) -> None:
    services = helper.ask("facts", sections=["services"])["result"]["services"]
    assert services["nginx"]["active"] == "active"
    assert services["ghost"]["load"] == "not-found"


def test_the_announcer_survives_a_session_whose_processes_are_killed(lab: Lab, helper: Speaker) -> None:
    policy = json.loads(lab.web.read("/etc/failover-helper/policy.json"))
    policy["addresses"] = [{"name": "x", "ip": "10.77.0.150", "interface": "eth0", "prefix": 24}]
    lab.web.write("/etc/failover-helper/policy.json", json.dumps(policy))
    args = {"ip": "10.77.0.150", "interface": "eth0", "prefix": 24, "want": "held"}
    assert helper.change("address", args)["result"]["held"]
    until = time.monotonic() + 5
    units = ""
    while "failover-announce" not in units and time.monotonic() < until:
        time.sleep(0.1)
        units = lab.web.run("systemctl list-units --no-legend 'failover-announce-*'").out
    assert "running" in units
    assert helper.change("address", {**args, "want": "released"})["result"]["parked"]
