"""What enrolling runs on a server, through the operator's own access: piped to ``python3``, kept nowhere.

Standard library only, Python 3.6 and later; ``enroll_items.py`` is sent in front of it. It is given a list of wanted
items and a mode: ``check`` says which of them are not so, ``install`` makes them so and says what it changed, and
``remove`` takes them away in the opposite order. Doing it twice changes nothing the second time.
"""

import json
import os
import sys
from typing import Any, Dict, List

from failover.servers.enroll_items import PATH, File, Folder, Item, KeyPair, Kind, Package, Trace, Trouble, User, call


class Unit(Kind):
    """A systemd unit that starts at boot."""

    def drift(self, item: Item) -> List[str]:
        try:
            call("systemctl", "--quiet", "is-enabled", item["name"])
        except Trouble:
            return ["isn't enabled"]
        return []

    def install(self, item: Item) -> None:
        call("systemctl", "daemon-reload")
        call("systemctl", "--quiet", "enable", item["name"])

    def remove(self, item: Item) -> bool:
        if self.drift(item):
            return False
        call("systemctl", "--quiet", "disable", item["name"])
        return True


class Sudo(Kind):
    """The account may run the helper as root, and nothing else at all."""

    def drift(self, item: Item) -> List[str]:
        try:
            call("sudo", "-n", "-l", "-U", item["name"], item["program"])
        except Trouble:
            return [f"may not run {item['program']} with sudo: does /etc/sudoers include /etc/sudoers.d?"]
        listed = [line.strip() for line in call("sudo", "-n", "-l", "-U", item["name"]).splitlines()]
        others = [line for line in listed if line.startswith("(") and item["program"] not in line]
        return [f"may also run {'; '.join(others)}"] if others else []


class Sshd(Kind):
    """sshd lets the account in with its key."""

    def drift(self, item: Item) -> List[str]:
        user, peer = item["user"], item["peer"]
        try:
            lines = call("sshd", "-T", "-C", f"user={user},host={peer},addr={peer}").splitlines()
        except Trouble:
            return []  # an sshd too old to say; the login itself will tell
        config = {}  # type: Dict[str, List[str]]
        for line in lines:
            key, _, value = line.partition(" ")
            config.setdefault(key, []).extend(value.split())
        said = []
        if config.get("pubkeyauthentication") == ["no"]:
            said.append("takes no keys (PubkeyAuthentication no)")
        files = config.get("authorizedkeysfile", [])
        if ".ssh/authorized_keys" not in [name.replace("%h/", "") for name in files]:
            said.append(f"reads keys from {' '.join(files)}, not from .ssh/authorized_keys")
        for key in ("allowusers", "allowgroups"):
            if config.get(key) and user not in config[key]:
                said.append(f"has {key} without {user}")
        if user in config.get("denyusers", []):
            said.append(f"denies {user}")
        return said


KINDS = {
    "package": Package(), "user": User(), "folder": Folder(), "file": File(), "key": KeyPair(), "unit": Unit(),
    "sudo": Sudo(), "sshd": Sshd(), "trace": Trace(),
}  # type: Dict[str, Kind]  # fmt: skip


def work(mode: str, items: List[Item]) -> Dict[str, List[Dict[str, str]]]:
    """Go through the items: what was changed, what isn't as wanted, what couldn't be done."""
    changed, drift, trouble = [], [], []
    for item in reversed(items) if mode == "remove" else items:
        kind = KINDS[item["kind"]]
        name = item.get("path") or item.get("name") or item.get("user") or item.get("program")
        what = {"kind": item["kind"], "name": str(name)}
        try:
            if mode == "remove":
                if kind.remove(item):
                    changed.append(dict(what, was="there"))
                continue
            said = kind.drift(item)
            if said and mode == "install":
                kind.install(item)
                changed.append(dict(what, was="; ".join(said)))
                said = kind.drift(item)
            drift += [dict(what, says=sentence) for sentence in said]
        except (Trouble, OSError, LookupError) as error:
            trouble.append(dict(what, says=str(error)))
            if mode == "install":
                break  # what comes later stands on this
    return {"changed": changed, "drift": drift, "trouble": trouble}


def public_halves(items: List[Item]) -> Dict[str, str]:
    """The public halves of the key pairs that are there."""
    found = {}
    for item in items:
        if item["kind"] == "key" and os.path.exists(item["path"] + ".pub"):
            with open(item["path"] + ".pub", encoding="utf-8") as file:
                found[item["path"]] = file.read().strip()
    return found


def main(spec: Dict[str, Any]) -> None:
    """Print the report as the last line, marked, since servers print other things too."""
    os.environ["PATH"], os.environ["LC_ALL"] = PATH, "C"
    os.umask(0o022)
    report = {"python": ".".join(str(part) for part in sys.version_info[:3])}  # type: Dict[str, Any]
    if os.geteuid() == 0:
        report.update(work(spec["mode"], spec["items"]), public=public_halves(spec["items"]))
    else:
        report["trouble"] = [{"kind": "access", "name": "root", "says": "is needed: log in as root or use sudo"}]
    sys.stdout.write(f"\nfailover-report {json.dumps(report)}\n")
