"""Runs on the lab's monitor host, piped to its python3: enrolls a host, then uses it, and prints what came of it.

The first argument is JSON: ``do`` and what that needs.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from failover.errors import FailoverError
from failover.model import Token
from failover.servers.access import OpenSshAccess
from failover.servers.enroll import check, check_through, enroll, pin, remove, verify
from failover.servers.enroll_plan import ContentReader, EnrollPlan
from failover.servers.host_key import look_at_host_key
from failover.servers.pins import read_pins
from failover.servers.policy import Policy, PolicyAddress, PolicyPath, PolicySource
from failover.servers.ssh import SshServer, SshSettings

KEYS = Path("/etc/failover/keys/bureau")
KNOWN_HOSTS = Path("/etc/failover/known_hosts")
ORDER = json.loads(sys.argv[1])
IPS = ORDER["ips"]


def plan(name: str) -> EnrollPlan:
    policy = Policy(site="bureau", server=name)
    readers: tuple[ContentReader, ...] = ()
    awaited: tuple[str, ...] = ()
    if name.startswith("web"):
        pinned = read_pins(KNOWN_HOSTS, IPS["wcm"], 22) if "wcm" in IPS else ()
        policy = replace(
            policy,
            addresses=(PolicyAddress("www", "10.77.0.100", "eth0", 24),),
            units=("nginx.service", "failover-guard.service"),
            paths=(PolicyPath("/srv/site"),),
            see=("10.77.0.0/24",),
            sources={"wcm": PolicySource(IPS["wcm"], str(pinned[0]))} if pinned else {},
        )
    if name == "wcm":
        policy = replace(policy, serve=("/srv/site",), units=("wcm.service",))
        copy = KEYS / "web.content.pub"
        if copy.exists():
            readers = (ContentReader("web", copy.read_text().strip(), (IPS["web"],)),)
        else:
            awaited = ("web",)
    waits = name.startswith("web") and "wcm" in IPS and not policy.sources
    return EnrollPlan(
        site="bureau", server=name, ssh=SshSettings(host=IPS[name]), policy=policy,
        monitor_addresses=(IPS["monitor"],), key=KEYS / name, known_hosts=KNOWN_HOSTS, readers=readers,
        awaited_readers=awaited, awaited_sources=("wcm",) if waits else (),
        content_key_copy=KEYS / f"{name}.content.pub" if name.startswith("web") else None,
    )  # fmt: skip


def main() -> dict[str, object]:
    name, said = ORDER["server"], []
    mine = plan(name)
    if ORDER["do"] == "ask":
        server = SshServer(name, mine.ssh, known_hosts=KNOWN_HOSTS, key=mine.key)
        try:
            began = time.monotonic()
            hello = server.ask("facts", sections=["helper"], within_seconds=15)
            opened = time.monotonic() - began
            taken = []
            for _ in range(50):
                began = time.monotonic()
                server.ask("facts", sections=[])
                taken.append(time.monotonic() - began)
            answers = []
            for verb, args in ORDER.get("asks", []):
                try:
                    answers.append(server.ask(verb, **args))
                except FailoverError as error:
                    answers.append(
                        {"error": type(error).__name__, "kind": getattr(error, "kind", ""), "says": str(error)}
                    )
            for verb, args in ORDER.get("changes", []):
                try:
                    answers.append(server.change(verb, args, token=Token(1, 1), within_seconds=20))
                except FailoverError as error:
                    answers.append(
                        {"error": type(error).__name__, "kind": getattr(error, "kind", ""), "says": str(error)}
                    )
            drift = [str(one) for one in check_through(mine.policy, server)]
            return {
                "hello": hello, "answers": answers, "drift": drift, "opened": opened, "median": sorted(taken)[25],
            }  # fmt: skip
        finally:
            server.close()
    shown, ours = look_at_host_key(IPS[name], 22, known=read_pins(KNOWN_HOSTS, IPS[name], 22))
    if ORDER["do"] == "enroll":

        def agree(question: str) -> bool:
            said.append(question)
            return bool(ORDER.get("agree", True))

        pin(mine, shown, agree, said.append)
    target, sudo = ORDER.get("as", f"root@{IPS[name]}"), ORDER.get("sudo", False)
    password = (lambda: ORDER["password"]) if "password" in ORDER else None
    access = OpenSshAccess(target, 22, [shown], sudo=sudo, sudo_password=password)
    if ORDER["do"] == "check":
        return {"drift": [str(one) for one in check(mine, shown, access)], "ours": ours}
    if ORDER["do"] == "remove":
        return {"changed": remove(mine, access, said.append).changed, "said": said}
    result = enroll(mine, access, said.append)
    server = SshServer(name, mine.ssh, known_hosts=KNOWN_HOSTS, key=mine.key)
    drifts = [*result.drift, *verify(server)]
    server.close()
    return {
        "changed": result.changed, "drift": [str(one) for one in drifts], "content_key": result.content_key,
        "said": said, "fingerprint": shown.fingerprint, "ours": ours, "python": result.python,
    }  # fmt: skip


try:
    print(json.dumps(main()))
except (FailoverError, ValueError) as error:
    print(json.dumps({"error": type(error).__name__, "says": str(error)}))
