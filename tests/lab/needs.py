"""What the lab needs of the machine it runs on, and how to say so."""

import os
import shutil
import sys
from pathlib import Path

from .errors import LabUnavailable

#: Debian and Ubuntu packages by the command that the lab calls.
PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
    "chroot": "coreutils",
}

CAP_SYS_ADMIN = 21


def cgroup_root() -> Path | None:
    """The cgroup v2 hierarchy: alone at ``/sys/fs/cgroup``, or beside v1 at ``/sys/fs/cgroup/unified``."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 ") and (where := Path(left.split()[4])).is_dir() and os.access(where, os.W_OK):
            return where
    return None


def missing_requirements() -> list[str]:
    """Everything that keeps the lab from running here, as sentences; empty when it can run.

    In CI a test run should fail on any of these; on a developer's machine it should skip and show them.
    """
    missing = []
    if sys.platform != "linux":
        return [f"the lab needs Linux, this is {sys.platform}"]
    if os.geteuid() != 0:
        missing.append("the lab needs root (it makes namespaces, mounts and cgroups): run it with sudo")
    elif not _has_capability(CAP_SYS_ADMIN):
        missing.append("the lab needs CAP_SYS_ADMIN, which this root user lacks (a container? start it privileged)")
    if absent := sorted({package for command, package in PACKAGES.items() if not shutil.which(command)}):
        missing.append(f"apt-get install --no-install-recommends {' '.join(absent)}")
    if not Path("/etc/debian_version").exists():
        missing.append("the lab builds its hosts from this machine's own apt sources: it needs Debian or Ubuntu")
    if os.geteuid() == 0 and cgroup_root() is None:
        missing.append("the lab needs a writable cgroup v2 hierarchy (mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified)")
    if "overlay" not in Path("/proc/filesystems").read_text():
        missing.append("the lab needs overlayfs (modprobe overlay)")
    return missing


def require() -> None:
    """Raise `LabUnavailable` with every missing thing at once."""
    if missing := missing_requirements():
        raise LabUnavailable("the lab can't run here: " + "; ".join(missing))


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
