"""What enrolling wants of a server: plain data in, a list of items out."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from failover.servers import helper_program
from failover.servers.helper import parking
from failover.servers.pins import HostKey
from failover.servers.policy import Policy
from failover.servers.ssh import SshSettings

HERE = Path(__file__).parent
GUARD_FILE = HERE / "units" / "failover-guard.service"

HELPER = "/usr/libexec/failover-helper"
ETC = "/etc/failover-helper"
STATE = "/var/lib/failover-helper"
RUN = "/run/failover-helper"
POLICY = f"{ETC}/policy.json"
CONTENT_USER = "failover-content"
DATABASE_USER = "failover-db"
"""Runs the clients of databases and reads backups; nobody logs in as this one."""
CONTENT_KEY = f"{STATE}/content_key"
GUARD = "failover-guard.service"
SUDOERS = "/etc/sudoers.d/failover-helper"

CLIENTS = {"postgresql": ("psql", "postgresql-client"), "mariadb": ("mariadb", "mariadb-client")}
"""By engine, a program that must be there, and Debian's package with it."""

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ContentReader:
    """A server that pulls content from this one: its content key's public half and the addresses that it comes from."""

    server: str
    public_key: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnrollPlan:
    """One server's enrolling."""

    site: str
    server: str
    ssh: SshSettings
    policy: Policy
    monitor_addresses: tuple[str, ...]
    """Where the monitor comes from, for ``from=``; IPs or networks."""
    key: Path
    """The monitor's private key for this server."""
    known_hosts: Path
    """failover's own file of pinned host keys."""
    readers: tuple[ContentReader, ...] = ()
    awaited_readers: tuple[str, ...] = ()
    """Servers that will pull content from here, but whose content key isn't known yet: enroll them first."""
    awaited_sources: tuple[str, ...] = ()
    """Servers that content will be pulled from, but whose host key isn't pinned yet: enroll them first."""
    content_key_copy: Path | None = None
    """Where the monitor keeps the public half of this server's content key, for the plans of the sources."""

    @property
    def pulls(self) -> bool:
        """Whether this server pulls content from others."""
        return bool(self.policy.sources or self.awaited_sources)

    @property
    def serves(self) -> bool:
        """Whether others pull content from here."""
        return bool(self.policy.serve)


def items(plan: EnrollPlan, public_key: str) -> list[Item]:
    """The wanted items in the order of their making; each stands on those before it."""
    return [*_programs(plan), *_accounts(plan), *_files(plan), *_content(plan), *_doors(plan, public_key), *_ends(plan)]


def helper_sha256() -> str:
    """Of the helper that this failover installs."""
    return hashlib.sha256(helper_program.program()).hexdigest()


def _programs(plan: EnrollPlan) -> Iterator[Item]:
    for program, package in (("sudo", "sudo"), ("visudo", "sudo"), ("ip", "iproute2"), ("systemctl", "systemd")):
        yield {"kind": "package", "program": program, "package": package}
    if plan.policy.addresses:
        yield {"kind": "package", "program": "nft", "package": "nftables"}
    if plan.pulls or plan.serves:
        yield {"kind": "package", "program": "rsync", "package": "rsync"}
    if plan.pulls:
        yield {"kind": "package", "program": "ssh-keygen", "package": "openssh-client"}
    for engine in sorted(_engines(plan.policy)):
        program, package = CLIENTS[engine]
        yield {"kind": "package", "program": program, "package": package}
    if any(entry.store is not None for entry in plan.policy.backups):
        yield {"kind": "package", "program": "restic", "package": "restic"}


def _engines(policy: Policy) -> set[str]:
    """Whose clients are needed: of the databases here, and of those that are dumped from here."""
    dumped = {entry.dump.engine for entry in policy.backups if entry.dump is not None}
    return {entry.engine for entry in policy.databases} | dumped


def _accounts(plan: EnrollPlan) -> Iterator[Item]:
    for path in (RUN, f"/run/sudo/ts/{plan.ssh.user}", f"/var/lib/sudo/lectured/{plan.ssh.user}"):
        yield {"kind": "trace", "path": path}
    yield _folder(ETC, 0o755)
    yield _folder(STATE, 0o755)
    yield _folder(f"{ETC}/home", 0o755)
    yield from _account(plan.ssh.user, f"helper of the monitor of {plan.site}")
    if plan.pulls or plan.serves:
        yield from _account(CONTENT_USER, f"content of {plan.site}")
    if plan.policy.databases or plan.policy.backups:
        yield from _account(DATABASE_USER, f"databases of {plan.site}")


def _account(user: str, comment: str) -> Iterator[Item]:
    # The home and the keys are root's, so that the account can't let anybody else in, not even by mistake.
    home = f"{ETC}/home/{user}"
    yield {"kind": "user", "name": user, "home": home, "comment": "".join(c for c in comment if c not in ":,\n")}
    yield _folder(home, 0o755)
    yield _folder(f"{home}/.ssh", 0o755)


def _files(plan: EnrollPlan) -> Iterator[Item]:
    yield _folder("/usr/libexec", 0o755) | {"shared": True}
    helper = helper_program.program()
    yield _file(POLICY, [plan.policy.text().encode()], 0o644)
    yield _file(HELPER, [helper], 0o755)
    forms = [text.encode() for text in sudoers_forms(plan.ssh.user, hashlib.sha256(helper).hexdigest())]
    yield _file(SUDOERS, forms, 0o440) | {"accept": ["visudo", "-c", "-q", "-f"]}


def sudoers_forms(user: str, sha256: str) -> list[str]:
    """The sudoers file, the strictest form first; a server takes the first that its sudo understands (sudoers(5)).

    ``""`` allows no argument at all. The digest keeps sudo from running anything but this very helper. No terminal is
    given (``!use_pty``): with one, sudo stays between the session and the helper and relays each line.
    """
    head = "# Written by failover enroll; the helper and nothing else.\n"
    plain = f"Defaults:{user} !requiretty, !use_pty, !lecture, env_reset\n"
    by_path = f"Defaults!{HELPER} fdexec=never\n"
    pinned = f'{user} ALL=(root) NOPASSWD: sha256:{sha256} {HELPER} ""\n'
    named = f'{user} ALL=(root) NOPASSWD: {HELPER} ""\n'
    return [head + plain + by_path + pinned, head + plain + pinned, head + plain + named]


def _content(plan: EnrollPlan) -> Iterator[Item]:
    if not plan.pulls:
        return
    comment = f"{CONTENT_USER}@{plan.server}"
    yield {
        "kind": "key",
        "path": CONTENT_KEY,
        "owner": f"{CONTENT_USER}:{CONTENT_USER}",
        "mode": 0o600,
        "comment": comment,
    }


def _doors(plan: EnrollPlan, public_key: str) -> Iterator[Item]:
    line = authorized_key(plan.monitor_addresses, f"sudo -n {HELPER}", public_key)
    yield _file(f"{ETC}/home/{plan.ssh.user}/.ssh/authorized_keys", [line.encode()], 0o644)
    if plan.pulls or plan.serves:
        readers = sorted(plan.readers, key=lambda reader: reader.server)
        lines = [authorized_key(r.addresses, f"{HELPER} serve-content", r.public_key) for r in readers]
        yield _file(f"{ETC}/home/{CONTENT_USER}/.ssh/authorized_keys", ["".join(lines).encode()], 0o644)


def authorized_key(addresses: Sequence[str], command: str, public_key: str) -> str:
    """A line that lets a key do one thing, from some addresses, and no more (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

    Raises:
        ValueError: no address, or one that isn't, or no public key: such a line could let in more than was meant.
    """
    key = HostKey.parse(public_key)
    comment = " ".join(public_key.split()[2:])
    if not addresses or any(set(address) - set("0123456789abcdefABCDEF.:/") for address in addresses):
        raise ValueError(f"from= needs plain addresses, not {list(addresses)}")
    return f'restrict,from="{",".join(addresses)}",command="{command}" {key} {comment}'.rstrip() + "\n"


def _ends(plan: EnrollPlan) -> Iterator[Item]:
    parked = [parking.full(entry.unit) for entry in plan.policy.services if entry.parks]
    for unit in parked:
        folder = f"/etc/systemd/system/{unit}.d"
        yield _folder(folder, 0o755) | {"shared": True}
        yield _file(f"{folder}/{parking.DROP_IN}", [parking.TEXT.format(unit=unit).encode()], 0o644) | {"reload": True}
    if plan.policy.addresses or parked:
        yield _file(f"/etc/systemd/system/{GUARD}", [GUARD_FILE.read_bytes()], 0o644)
        yield {"kind": "unit", "name": GUARD}
    yield {"kind": "sudo", "name": plan.ssh.user, "program": HELPER}
    peer = plan.monitor_addresses[0].partition("/")[0]
    yield {"kind": "sshd", "user": plan.ssh.user, "peer": peer}


def _folder(path: str, mode: int) -> Item:
    return {"kind": "folder", "path": path, "owner": "root:root", "mode": mode}


def _file(path: str, texts: Sequence[bytes], mode: int) -> Item:
    forms = [base64.b64encode(text).decode() for text in texts]
    return {"kind": "file", "path": path, "owner": "root:root", "mode": mode, "texts": forms}
