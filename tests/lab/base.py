"""The disks that lab hosts share: one Debian root, built once, and thin layers over it.

Hosts mount layers as the lower side of an overlay, so a hundred hosts cost one root.
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import LabUnavailable
from .layers import REPOSITORY, layer, run
from .needs import require

PACKAGES = (
    # a machine
    "systemd", "systemd-sysv", "dbus", "udev", "procps", "less", "ca-certificates", "python3", "sudo",
    # its network
    "iproute2", "iputils-ping", "iputils-arping", "ndisc6", "nftables", "curl", "openssh-server",
    "openssh-sftp-server", "openssh-client", "rsync",
    # its work
    "nginx", "postgresql", "mariadb-server", "keepalived",
)  # fmt: skip

#: Units that packages switch on at install; a lab host switches on what its role needs.
ASLEEP = (
    "nginx",
    "postgresql",
    "mariadb",
    "keepalived",
    "rsync",
    "e2scrub_reap",
    "monit",
    "prometheus-blackbox-exporter",
)

CHROOT_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def root() -> Path:
    """The Debian (or Ubuntu) root that all hosts share, of this machine's own release and from its own apt sources."""
    require()
    return layer("root", [codename(), platform.machine(), *PACKAGES, *ASLEEP], _build_root)


def packages(names: Sequence[str]) -> Path:
    """A layer with more Debian packages, for the hosts that need them (peers of a benchmark, a browser)."""
    below = root()
    return layer("packages", [below.name, "asleep", *sorted(names)], lambda into: _build_packages(into, below, names))


def clock_library() -> Path:
    """The library that gives one process a wall clock of its own, compiled for the lab's root."""
    below = root()
    source = Path(__file__).with_name("programs") / "clock.c"
    return layer("clock", [below.name, source.read_text()], lambda into: _compile(into, below, source)) / "clock.so"


def requirements(lock: Path = REPOSITORY / "requirements.lock") -> Path:
    """A layer with the project's locked requirements in ``/opt/failover/lib``, for the lab root's own Python."""
    below = root()
    version = python_version(below)
    if not lock.exists():
        raise LabUnavailable(f"{lock.name} is missing: the monitor host needs it to run the daemon")
    return layer(
        "requirements",
        [below.name, version, lock.read_text(), MONITOR_COMMAND],
        lambda into: _build_requirements(into, version, lock),
    )


def python_version(root: Path) -> str:
    """The version of a root's own Python, as ``3.11``."""
    return os.readlink(root / "usr/bin/python3").removeprefix("python")


def wheels(lock: Path, version: str, library: Path) -> None:
    """Unpack the wheels of a lock file, for a root's own Python and glibc, into a folder that is made."""
    library.mkdir(parents=True)
    machine = platform.machine()
    # Wheels name the oldest C library they run on; every glibc up to the root's own will do.
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1)] + [f"manylinux2014_{machine}"]
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:",
        "--python-version", version, "--implementation", "cp", "--target", str(library),
        *(argument for name in platforms for argument in ("--platform", name)), "-r", str(lock),
    )  # fmt: skip


def codename() -> str:
    """This machine's release, as ``bookworm``."""
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    raise LabUnavailable("/etc/os-release names no VERSION_CODENAME: the lab knows only Debian and Ubuntu")


def apt_sources(release: str, etc: Path = Path("/etc/apt")) -> str:
    """This machine's own apt sources of the release, without third parties', in the format of sources.list(5)."""
    suites = {release, f"{release}-updates", f"{release}-security"}
    lines = []
    for file in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*"))]:
        if file.suffix == ".list" and file.exists():
            lines += [line.strip() for line in file.read_text().splitlines() if _one_line_suite(line) in suites]
        elif file.suffix == ".sources":
            for stanza in _stanzas(file.read_text()):
                wanted = [suite for suite in stanza.get("suites", "").split() if suite in suites]
                if "deb" not in stanza.get("types", "").split() or stanza.get("enabled", "yes").lower() == "no":
                    continue
                key = stanza.get("signed-by", "")
                option = f"[signed-by={key}] " if key.startswith("/") else ""
                for uri in stanza.get("uris", "").split():
                    lines += [f"deb {option}{uri} {suite} {stanza.get('components', '')}" for suite in wanted]
    if not lines:
        raise LabUnavailable(f"no apt source of {release} in {etc}: the lab builds its hosts from the machine's own")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _one_line_suite(line: str) -> str:
    words = line.partition("]")[2].split() if "[" in line else line.split()[1:]
    return words[1] if line.strip().startswith("deb ") and len(words) > 1 else ""


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Paragraphs of deb822(5), their keys in lower case."""
    for paragraph in text.split("\n\n"):
        stanza: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace():
                stanza[key] = f"{stanza.get(key, '')} {line.strip()}".strip()
            else:
                key, _, value = line.partition(":")
                key = key.lower()
                stanza[key] = value.strip()
        if stanza:
            yield stanza


def _build_root(into: Path) -> None:
    release = codename()
    options = ["path-exclude=/usr/share/doc/*", "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*"]
    run(
        "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io", *(f"--dpkgopt={option}" for option in options),
        release, str(into), "-",
        stdin=apt_sources(release),
    )  # fmt: skip
    into.chmod(0o755)
    _put_to_sleep(into)
    for identity in [into / "etc/machine-id", *into.glob("etc/ssh/ssh_host_*")]:
        identity.unlink(missing_ok=True)


def _build_packages(into: Path, below: Path, names: Sequence[str]) -> None:
    _install(into, below, names)
    # Whatever these packages switched on for boot, by systemd's links or by System V's, stays off until asked for.
    for link in (*into.glob("etc/systemd/system/*.wants/*"), *into.glob("etc/rc?.d/S*")):
        link.unlink()


def _compile(into: Path, below: Path, source: Path) -> None:
    toolchain = into / "toolchain"
    toolchain.mkdir()
    build = "gcc -Wall -Wextra -Werror -O2 -shared -fPIC -o /clock.so -x c - -ldl"
    _install(toolchain, below, ["gcc", "libc6-dev"], then=build, stdin=source.read_text())
    (toolchain / "clock.so").rename(into / "clock.so")
    shutil.rmtree(toolchain)


# The mount lives in the namespaces of the process that uses it, so a killed build leaves none behind.
INSTALL = r"""
    set -e
    then=$4
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3/work" "$3/merged"
    cd "$3/merged"
    mount -t proc proc proc
    printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d
    chmod 755 usr/sbin/policy-rc.d
    rm -f etc/resolv.conf; cat /etc/resolv.conf > etc/resolv.conf
    shift 4
    chroot . apt-get -q update </dev/null
    DEBIAN_FRONTEND=noninteractive chroot . apt-get -q -y --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io install "$@" </dev/null
    chroot . apt-get clean
    rm -rf usr/sbin/policy-rc.d etc/resolv.conf var/lib/apt/lists/*
    chroot . sh -c "$then"
    umount proc
"""


def _install(upper: Path, below: Path, names: Sequence[str], *, then: str = "true", stdin: str = "") -> None:
    """Install packages over a root, so that what's new lands in ``upper``; then run one more command there."""
    scratch = upper.parent / f"{upper.name}.scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    for folder in ("work", "merged"):
        (scratch / folder).mkdir(parents=True)
    spaces = ["--mount", "--propagation=private", "--pid", "--fork", "--kill-child=KILL"]
    arguments = [str(below), str(upper), str(scratch), then, *names]
    environment = {"PATH": CHROOT_PATH, "LC_ALL": "C"}
    try:
        run("unshare", *spaces, "sh", "-c", INSTALL, "sh", *arguments, stdin=stdin, environment=environment)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


MONITOR_COMMAND = """\
#!/usr/bin/python3
import sys

sys.path.insert(0, "/opt/failover/lib")
from failover.cli.main import main

sys.exit(main())
"""


def _build_requirements(into: Path, version: str, lock: Path) -> None:
    library = into / "opt/failover/lib"
    wheels(lock, version, library)
    (library / "failover").mkdir(exist_ok=True)  # the work tree's own package is mounted here, live
    command = into / "usr/bin/failover"
    command.parent.mkdir(parents=True)
    command.write_text(MONITOR_COMMAND)
    command.chmod(0o755)


def _put_to_sleep(tree: Path) -> None:
    for wants in tree.glob("etc/systemd/system/*.wants"):
        for unit in ASLEEP:
            (wants / f"{unit}.service").unlink(missing_ok=True)
