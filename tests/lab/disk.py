"""What makes a host's disk its own: name, keys, services of its role; laid over the shared root before it boots."""

import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from . import site
from .layers import REPOSITORY
from .net import Plug, hosts_file

FILES = Path(__file__).with_name("files")

MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "logrotate.timer", "man-db.timer", "motd-news.timer", "getty.target", "systemd-resolved.service",
    "systemd-networkd.service", "systemd-networkd.socket", "systemd-timesyncd.service", "e2scrub_reap.service",
    # Each takes an inotify instance of the machine's, which has 128 of them for all hosts of all labs (inotify(7)).
    "systemd-ask-password-console.path", "systemd-ask-password-wall.path",
)  # fmt: skip


def make_key(file: Path, comment: str) -> str:
    """Make an ed25519 key without passphrase, beside its ``.pub``; returns the public half."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file)], check=True, timeout=20
    )
    return file.with_name(f"{file.name}.pub").read_text()


def seed(
    into: Path, name: str, plan: Mapping[str, tuple[Plug, ...]], keys: Path, build: str | None, *, units: Path
) -> None:
    """Fill a folder with the files that only this host has (and those that all lab hosts have)."""
    shutil.copytree(FILES, into, copy_function=shutil.copy)
    put(into, "etc/hostname", f"{name}\n")
    put(into, "etc/hosts", "".join(f"{line}\n" for line in hosts_file(dict(plan))))
    put(into, "etc/resolv.conf", "")
    put(into, "etc/machine-id", f"{uuid.uuid4().hex}\n")
    put(into, "etc/lab/boot-addresses", "")
    (into / "var/log/journal").mkdir(parents=True)
    for half, mode in (("", 0o600), (".pub", 0o644)):
        copy(keys / f"host-{name}{half}", into / f"etc/ssh/ssh_host_ed25519_key{half}", mode)
    put(into, "root/.ssh/authorized_keys", (keys / "operator.pub").read_text(), 0o600)
    (into / "root").chmod(0o700)
    (into / "root/.ssh").chmod(0o700)
    system = into / "etc/systemd/system"
    for unit in MASKED:
        (system / unit).symlink_to("/dev/null")
    if build is not None:
        for path, content in site.build_site(build).items():
            put(into, f"{site.FOLDER[1:]}/{path}", content)
    if name.startswith("web"):
        want(system, "nginx.service")
    if name == "monitor":
        _seed_monitor(into, plan, keys, units)


def _seed_monitor(into: Path, plan: Mapping[str, tuple[Plug, ...]], keys: Path, units: Path) -> None:
    """The operator's own access to every server, whose host keys are known; and the project's units."""
    copy(keys / "operator", into / "root/.ssh/id_ed25519", 0o600)
    copy(keys / "operator.pub", into / "root/.ssh/id_ed25519.pub", 0o644)
    known = []
    for name, cards in plan.items():
        kind, key = (keys / f"host-{name}.pub").read_text().split()[:2]
        known.append(f"{name},{cards[0].ipv4},{cards[0].ipv6} {kind} {key}\n")
    put(into, "root/.ssh/known_hosts", "".join(known))
    for file in sorted(units.rglob("*")):
        if file.suffix in {".service", ".socket", ".timer", ".path", ".target"}:
            copy(file, into / "etc/systemd/system" / file.name, 0o644)
        elif "sysusers" in str(file.relative_to(units)) and file.is_file():
            copy(file, into / "usr/lib/sysusers.d/failover.conf", 0o644)
        elif "tmpfiles" in str(file.relative_to(units)) and file.is_file():
            copy(file, into / "usr/lib/tmpfiles.d/failover.conf", 0o644)


def project_mounts() -> list[tuple[str, Path, str]]:
    """The work tree's package, seen live and read-only on the monitor host."""
    return [("ro", REPOSITORY / "failover", "/opt/failover/lib/failover")]


def want(system: Path, unit: str, target: str = "multi-user.target", folder: str = "/lib/systemd/system") -> None:
    """Have a unit started at boot."""
    wants = system / f"{target}.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / unit).symlink_to(f"{folder}/{unit}")


def put(into: Path, path: str, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file of the disk, with its folder."""
    file = into / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(mode)


def copy(source: Path, target: Path, mode: int) -> None:
    """Copy one file onto the disk, with its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)
