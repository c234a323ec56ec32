"""A bureau's site in the lab: its servers enrolled, the daemon running as a systemd service on the monitor host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab import Done, Host, Lab, LabError, LabTimeout
from tests.lab.patience import PATIENCE

REPOSITORY = Path(__file__).parent.parent.parent
CONFIG = "/etc/failover/failover.yaml"
SERVERS = ("web", "web-backup", "wcm", "wcm-backup", "db", "db-backup")
WEB_HOSTS = ("monitor", "client", "router", "web", "web-backup", "wcm")

Status = dict[str, Any]
Run = dict[str, Any]


def lab_config(name: str = "lab") -> str:
    """The config that the lab's sites start from: of the web server alone, or ``lab-whole``."""
    return (REPOSITORY / f"configs/{name}.yaml").read_text()


class Bureau:
    """Enrols, starts and asks; every call goes through the same commands that an operator types on the monitor."""

    def __init__(self, lab: Lab, config: str | None = None) -> None:
        self.lab = lab
        self.monitor: Host = lab["monitor"]
        self.since = 0
        """The newest run when this incident began; runs up to it are another story."""
        self._builds = 1
        self.write_config(config if config is not None else lab_config())

    # the operator's morning ---------------------------------------------------------------------------------

    def write_config(self, text: str) -> None:
        """Put the config where the daemon looks for it."""
        self.config = text
        self.monitor.run(
            "systemd-sysusers && systemd-tmpfiles --create 2>/dev/null; mkdir -p /etc/failover", check=False
        )
        self.monitor.write(CONFIG, text, mode="640")
        self.monitor.run(f"chgrp failover {CONFIG} /etc/failover")

    @contextmanager
    def other_config(self, text: str) -> Iterator[None]:
        """Another config for a while; the daemon reads it as an operator has it read."""
        usual = self.config
        self.write_config(text)
        try:
            self.cli("reload")
            yield
        finally:
            self.write_config(usual)
            self.cli("reload")

    def enroll(self, *servers: str) -> None:
        """Enrol servers, all of them unless some are named, with the operator's own key."""
        names = servers or tuple(name for name in self.lab.hosts if name in SERVERS)
        keys = [self.lab[name].run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").out.split()[1] for name in names]
        shown = [word for key in keys for word in ("--host-key", key)]
        self.cli("enroll", *(servers or ("--all",)), "--as", "root", *shown, timeout=120)

    def start(self, within: float = 60) -> None:
        """Start the daemon, and wait until systemd and the daemon itself call it ready."""
        self.monitor.run("systemctl start failover", timeout=within)

    def ready(self, within: float = 60) -> Status:
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

    def publish(self, *, also_on_web: bool = False) -> str:
        """The WCM publishes the next build, and unless its distribution works no more, the web server gets it too."""
        self._builds += 1
        build = f"build-{self._builds}"
        for host in ("wcm", "web") if also_on_web else ("wcm",):
            self.lab.publish(build, on=host)
        return build

    # asking -------------------------------------------------------------------------------------------------

    def cli(self, *words: str, check: bool = True, timeout: float = 60) -> Done:
        """Run the ``failover`` command on the monitor host, as root."""
        return self.monitor.run(["failover", *words], check=check, timeout=timeout)

    def status(self) -> Status:
        """``failover status`` as data."""
        done = self.cli("status", "-o", "json", check=False)  # 1 means that an incident is open
        if done.code not in (0, 1):
            raise LabError(f"failover status ended with {done.code}: {done.err}")
        site: Status = json.loads(done.out)["sites"][0]
        return site

    def runs(self, kind: str | None = None, *, after: int = 0) -> list[Run]:
        """Every run newer than run ``after``, oldest first."""
        runs: list[Run] = json.loads(self.cli("runs", "--limit", "1000", "-o", "json").out)["runs"]
        runs = [run for run in runs if int(run["number"]) > after and (kind is None or run["kind"] == kind)]
        return sorted(runs, key=lambda run: int(run["number"]))

    def run_of(self, number: int) -> Run:
        """One run with its steps and changes."""
        answer: Run = json.loads(self.cli("runs", "show", str(number), "-o", "json").out)
        return answer

    def told(self, run: Run) -> str:
        """What ``failover runs show`` says of a run to a person."""
        return self.cli("runs", "show", str(run["number"])).out

    def moves(self) -> list[Run]:
        """Every run of this incident that moved a role, or tried to."""
        return [run for run in self.runs(after=self.since) if run["kind"] in ("recover", "switch")]

    def plan(self, name: str = "web") -> dict[str, Any]:
        """What the daemon thinks of a plan now."""
        return next(plan for plan in self.status()["plans"] if plan["name"] == name)

    def holder(self, role: str = "web") -> str:
        """Who holds a role, by the daemon's own word."""
        return next(str(row["holder"]) for row in self.status()["roles"] if row["name"] == role)

    def account(self) -> str:
        """All that tells why an incident went as it did: the status, its runs, the newest of the daemon's log."""
        runs = "\n".join(self.told(run) for run in self.runs(after=self.since))
        log = self.monitor.run("journalctl -u failover -n 60 --no-pager -o short-precise").out
        return f"{short(self.status())}\n{runs}\n{self.cli('explain').out}\n{log}"

    # waiting ------------------------------------------------------------------------------------------------

    def until(self, seen: Callable[[Status], Any], within: float) -> Status:
        """Ask for the status until ``seen`` likes it; bounded."""
        within *= PATIENCE
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
            time.sleep(0.1)
        raise LabTimeout(f"not seen within {within:g} s; the last status:\n{short(status) if status else 'none'}")

    def until_plan(self, says: str, within: float, *, action: str | None = None, name: str = "web") -> Status:
        """Wait until a plan's decision, or why it isn't ready, says something."""

        def seen(status: Status) -> bool:
            plan = next(plan for plan in status["plans"] if plan["name"] == name)
            said = "; ".join([plan["reason"], *plan["problems"]])
            return says in said and action in (None, plan["action"])

        return self.until(seen, within)

    def until_run(self, kind: str, states: tuple[str, ...], within: float, *, after: int | None = None) -> Run:
        """Wait until a run of a kind, newer than run ``after``, is in one of these states; the run."""
        within *= PATIENCE
        deadline = time.monotonic() + within
        after = self.since if after is None else after
        runs: list[Run] = []
        while time.monotonic() < deadline:
            done = self.cli("runs", "-o", "json", check=False, timeout=20)
            if done.code == 0:
                runs = [r for r in json.loads(done.out)["runs"] if r["kind"] == kind and int(r["number"]) > after]
                for run in runs:
                    if run["state"] in states:
                        return run
            time.sleep(0.1)
        raise LabTimeout(f"no {kind} run was {' or '.join(states)} within {within:g} s; there are {runs}")


def short(status: Status) -> str:
    """A status for the message of a test that failed: what isn't as on a quiet day, and what is decided."""
    lines = [f"role {one['name']} is held by {one['holder']}" for one in status["roles"]]
    lines += [f"server {one['name']} is {one['state']}: {one['reason']}" for one in status["servers"]]
    lines += [f"address {one['name']} is {one['state']}: {one['reason']}" for one in status["addresses"]]
    lines += [f"check {one['name']} is {one['standing']}: {one['reason']}" for one in status["checks"]]
    for one in status["plans"]:
        ready = "ready" if one["ready"] else f"not ready ({'; '.join(one['problems'])})"
        lines.append(f"plan {one['name']} is {ready}, {one['action']}: {one['reason']}")
    lines += [
        f"incident {one['number']} {one['about']} is {one['state']}: {one['reason']}" for one in status["incidents"]
    ]
    lines += [f"run {one['number']} {one['kind']} is {one['state']}: {one['reason']}" for one in status["runs"]]
    lines += [f"ahead {name}: {said}" for name, said in status["ahead"].items()]
    return "".join(f"  {line}\n" for line in lines)
