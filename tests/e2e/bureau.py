"""A bureau's site in the lab: its servers enrolled, the daemon running as a systemd service on the monitor host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab import Done, Host, Lab, LabError, LabTimeout

REPOSITORY = Path(__file__).parent.parent.parent
CONFIG = "/etc/failover/failover.yaml"
SERVERS = ("web", "web-backup", "wcm", "wcm-backup", "db", "db-backup")
WEB_HOSTS = ("monitor", "client", "router", "web", "web-backup", "wcm")

Status = dict[str, Any]

#: Runs on the monitor: reads the journal through the API as fast as it can, and kills when it sees what it waits for.
KILL_AT = """
import http.client, json, os, signal, socket, subprocess, sys, time

class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/failover/api.sock")

def ask(path):
    connection.request("GET", "/api/v1" + path)
    return json.loads(connection.getresponse().read())

kind, number = sys.argv[1], int(sys.argv[2])
connection = Unix("localhost")
pid = int(subprocess.check_output(["systemctl", "show", "-P", "MainPID", "failover"]))
after, seen = ask("/audit/head")["seq"], 0
print("watching", flush=True)
deadline = time.monotonic() + 40
while time.monotonic() < deadline:
    for event in ask("/events?after=%d&limit=100" % after)["events"]:
        after = event["seq"]
        opened = event["kind"] == "run.opened" and event["data"]["kind"] == "recover"
        seen += opened if kind == "run.opened" else event["kind"] == kind
        if seen == number:
            os.kill(pid, signal.SIGKILL)
            print("killed after event", after, flush=True)
            sys.exit(0)
    time.sleep(0.001)
sys.exit("never saw it")
"""


def lab_config() -> str:
    """The config that the lab's sites start from."""
    return (REPOSITORY / "configs/lab.yaml").read_text()


class Bureau:
    """Enrols, starts and asks; every call goes through the same commands that an operator types on the monitor."""

    def __init__(self, lab: Lab, config: str | None = None) -> None:
        self.lab = lab
        self.monitor: Host = lab["monitor"]
        self.newest = 0
        self.write_config(config if config is not None else lab_config())

    # the operator's morning ---------------------------------------------------------------------------------

    def write_config(self, text: str) -> None:
        """Put the config where the daemon looks for it."""
        self.monitor.run(
            "systemd-sysusers && systemd-tmpfiles --create 2>/dev/null; mkdir -p /etc/failover", check=False
        )
        self.monitor.write(CONFIG, text, mode="640")
        self.monitor.run(f"chgrp failover {CONFIG} /etc/failover")

    def enroll(self, *servers: str) -> None:
        """Enrol servers, all of them unless some are named, with the operator's own key."""
        names = servers or tuple(name for name in self.lab.hosts if name in SERVERS)
        keys = [self.lab[name].run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").out.split()[1] for name in names]
        shown = [word for key in keys for word in ("--host-key", key)]
        self.cli("enroll", *(servers or ("--all",)), "--as", "root", *shown, timeout=120)

    def start(self, within: float = 30) -> None:
        """Start the daemon, and wait until systemd and the daemon itself call it ready."""
        self.monitor.run("systemctl start failover", timeout=within)

    def ready(self, within: float = 30) -> Status:
        """The status once every server's session is warm and every plan is ready."""
        return self.until(
            lambda status: (
                all(server["state"] == "reachable" for server in status["servers"])
                and all(plan["ready"] for plan in status["plans"])
            ),
            within,
        )

    def up(self) -> None:
        """Enrol everybody, start the daemon, and wait until its plans are ready."""
        self.enroll()
        self.start()
        self.ready(60)

    def kill(self) -> None:
        """kill -9 of the daemon; systemd is told not to start it again by itself."""
        self.monitor.run("systemctl kill --signal=KILL failover; systemctl stop failover", check=False)

    def come_home(self) -> None:
        """After an incident: power, network, services, then what a person says and orders to have web serve again."""
        lab = self.lab
        lab.heal()
        for name, host in lab.hosts.items():
            if not host.on:
                host.boot()
            host.thaw()
            if name.startswith("web"):
                host.run("systemctl unmask -q nginx; systemctl kill -s CONT nginx; systemctl start nginx", check=False)
        # Anew, so that it doesn't remember how often the tests before let the site flap.
        self.monitor.run("systemctl reset-failed failover; systemctl restart failover", timeout=60)
        self.until(lambda status: all(server["state"] == "reachable" for server in status["servers"]), 40)
        for run in self.runs():
            if run["state"] in ("running", "waiting", "stopped"):
                self.cli("abort", str(run["number"]), "--why", "the test is over", check=False)
        self.cli("ack", "web", "--why", "the test is over", check=False)
        if self.holder() != "web":
            self.until(lambda status: self.cli("switch", "web", "--yes", check=False).code == 0, 60)
        self.ready(60)
        self.newest = max((int(run["number"]) for run in self.runs()), default=0)

    def kill_at(self, kind: str, number: int) -> None:
        """Kill -9 the daemon when its journal gets the ``number``-th new event of a kind; systemd starts it again."""
        self.monitor.write("/run/kill-at.py", KILL_AT)
        self._epoch = int(self._status()["epoch"])
        self._runs = len(self.runs())
        self._killer = self.monitor.start(["python3", "/run/kill-at.py", kind, str(number)])
        deadline = time.monotonic() + 10
        while "watching" not in self._killer.output():
            if time.monotonic() > deadline:
                raise LabTimeout(f"the killer doesn't watch: {self._killer.output()}")
            time.sleep(0.02)

    def until_restarted(self, within: float) -> dict[str, Any]:
        """Wait until the killed daemon is back and its newest recovery has ended; that run."""
        if self._killer.wait(within) != 0:
            raise LabError(f"the daemon wasn't killed: {self._killer.output()}")
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            try:
                runs = [run for run in self.runs()[self._runs :] if run["kind"] == "recover"]
                if int(self._status()["epoch"]) > self._epoch and runs and runs[-1]["ended_at"]:
                    return runs[-1]
            except LabError:
                pass  # just being restarted
            time.sleep(0.3)
        raise LabTimeout(f"no recovery had ended within {within} s; there is {self.runs()[self._runs :]}")

    # asking -------------------------------------------------------------------------------------------------

    def cli(self, *words: str, check: bool = True, timeout: float = 60) -> Done:
        """Run the ``failover`` command on the monitor host, as root."""
        return self.monitor.run(["failover", *words], check=check, timeout=timeout)

    def status(self) -> Status:
        """``failover status`` as data, of the lab's one site."""
        site: Status = self._status()["sites"][0]
        return site

    def _status(self) -> Status:
        done = self.cli("status", "-o", "json", check=False)  # 1 means that an incident is open
        if done.code not in (0, 1):
            raise LabError(f"failover status ended with {done.code}: {done.err}")
        whole: Status = json.loads(done.out)
        return whole

    def runs(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Every run so far, oldest first."""
        runs: list[dict[str, Any]] = json.loads(self.cli("runs", "-o", "json").out)["runs"]
        return [run for run in sorted(runs, key=lambda run: int(run["number"])) if kind is None or run["kind"] == kind]

    def run_of(self, number: int) -> dict[str, Any]:
        """One run with its steps and changes."""
        answer: dict[str, Any] = json.loads(self.cli("runs", "show", str(number), "-o", "json").out)
        return answer

    def holder(self, role: str = "web") -> str:
        """Who holds a role, by the daemon's own word."""
        return next(str(row["holder"]) for row in self.status()["roles"] if row["name"] == role)

    # waiting ------------------------------------------------------------------------------------------------

    def until(self, seen: Callable[[Status], Any], within: float) -> Status:
        """Ask for the status until ``seen`` likes it; bounded."""
        deadline = time.monotonic() + within
        status: Status | None = None
        while time.monotonic() < deadline:
            try:
                status = self.status()
            except LabError:
                pass  # not up yet, or just restarting
            else:
                if seen(status):
                    return status
            time.sleep(0.2)
        raise LabTimeout(f"not seen within {within} s; last status: {json.dumps(status, ensure_ascii=False)[:4000]}")

    def until_run(
        self, kind: str, states: tuple[str, ...], within: float, *, after: int | None = None
    ) -> dict[str, Any]:
        """Wait until a run of a kind, newer than ``after`` (or than the day's beginning), is in one of these states."""
        after = self.newest if after is None else after
        deadline = time.monotonic() + within
        runs: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            done = self.cli("runs", "-o", "json", check=False, timeout=20)
            if done.code == 0:
                runs = [r for r in json.loads(done.out)["runs"] if r["kind"] == kind and int(r["number"]) > after]
                for run in runs:
                    if run["state"] in states:
                        return run
            time.sleep(0.2)
        raise LabTimeout(f"no {kind} run was {' or '.join(states)} within {within} s; there are {runs}")
