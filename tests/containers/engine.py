"""A container engine of its own: dockerd in namespaces that have no way out, gone without a trace when it ends."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.containers.compose import COMPOSE, configure
from tests.lab.commands import Done
from tests.lab.errors import LabError, LabTimeout, LabUnavailable

LIFE_SECONDS = 3600
UP_SECONDS = 30

#: Debian packages by the program that is called; the Makefile installs them.
PROGRAMS = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "docker": "docker-cli, or docker.io",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "dpkg-scanpackages": "dpkg-dev",
}

INSIDE = r"""
    set -e
    data=$1 run=$2 group=$3
    # What dockerd and containerd write to whatever they are told.
    for folder in /run /etc/docker /var/lib/containerd; do
        mkdir -p $folder
        mount -t tmpfs -o mode=755 tmpfs $folder
    done
    mkdir -p /run/lock "$data/docker" "$data/containerd"
    ip link set lo up
    hostname engine
    [ -z "$(ip route show default; ip -6 route show default)" ] || { echo "there is a way out" >&2; exit 1; }
    containerd --root "$data/containerd" --state /run/containerd --address /run/containerd/containerd.sock \
        --log-level warn &
    tries=100
    until [ -S /run/containerd/containerd.sock ]; do
        tries=$((tries - 1)); [ $tries -gt 0 ] || { echo "containerd doesn't start" >&2; exit 1; }
        sleep 0.1
    done
    exec dockerd --containerd /run/containerd/containerd.sock --data-root "$data/docker" --exec-root /run/docker \
        --pidfile /run/docker.pid -H "unix://$run/docker.sock" -G root --exec-opt native.cgroupdriver=cgroupfs \
        --cgroup-parent="/$group" --storage-driver=overlay2 --dns 10.77.0.1 --log-level warn
"""


def missing() -> list[str]:
    """What keeps an engine from running here, as sentences."""
    found = []
    if sys.platform != "linux" or os.geteuid() != 0:
        return ["a container engine of its own needs Linux and root"]
    if absent := sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)}):
        found.append(f"`make containers` installs what is missing: {', '.join(absent)}")
    if not COMPOSE.exists():
        found.append("Compose is missing: `make install` installs what requirements.lock holds")
    if "overlay" not in Path("/proc/filesystems").read_text():
        found.append("overlayfs is missing (modprobe overlay)")
    return found


class Engine:
    """In a ``with`` block. Images stay in ``data`` for the next one; containers and networks don't.

    Args:
        data: where images are kept; not on an overlay.
        life_seconds: when this is over the engine ends, whoever still uses it.

    Raises:
        LabUnavailable: something is missing on this machine; says what to install.
    """

    def __init__(self, data: Path, life_seconds: int = LIFE_SECONDS) -> None:
        if said := missing():
            raise LabUnavailable("; ".join(said))
        self._data = data
        self._life_seconds = life_seconds
        self._group = f"failover-containers-{os.getpid()}"
        self._run = Path(tempfile.mkdtemp(prefix="failover-containers-"))
        configure(self._run / "config")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Engine":
        self._data.mkdir(parents=True, exist_ok=True)
        spaces = ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL", "--mount-proc"]
        bounded = ["timeout", "-s", "KILL", str(self._life_seconds)]
        script = ["sh", "-c", INSIDE, "sh", str(self._data.resolve()), str(self._run), self._group]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", *spaces, "--propagation=private", *bounded, *script],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_up()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def log(self) -> Path:
        """What dockerd and containerd say."""
        return self._run / "engine.log"

    @property
    def environment(self) -> dict[str, str]:
        """What makes `docker` talk to this engine."""
        ours = {"DOCKER_HOST": f"unix://{self._run}/docker.sock", "DOCKER_CONFIG": f"{self._run}/config"}
        return {**os.environ, **ours, "DOCKER_BUILDKIT": "0"}

    def run(self, *words: str, check: bool = True, timeout: float = 60, stdin: Path | None = None) -> Done:
        """Run ``docker WORDS``.

        Raises:
            LabTimeout: not done within so many seconds. LabError: it failed, and ``check`` is on.
        """
        argv: Sequence[str] = ["docker", *words]
        began = time.monotonic()
        given = stdin.open("rb") if stdin else subprocess.DEVNULL
        try:
            done = subprocess.run(
                argv, stdin=given, capture_output=True, timeout=timeout, env=self.environment, check=False
            )
        except subprocess.TimeoutExpired:
            raise LabTimeout(f"not done within {timeout} s: {' '.join(argv)}") from None
        finally:
            if not isinstance(given, int):
                given.close()
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode:
            raise LabError(f"{' '.join(argv)} ended with {done.returncode}: {(err or out).strip()[-3000:]}")
        return Done(done.returncode, out, err, time.monotonic() - began)

    def end(self) -> None:
        """End it with everything in it: processes, mounts and network die with the first process of their namespace."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._process = None
        for group in Path("/sys/fs/cgroup").glob(f"**/{self._group}"):
            _remove(group)
        shutil.rmtree(self._run, ignore_errors=True)

    def _wait_up(self) -> None:
        deadline = time.monotonic() + UP_SECONDS
        while self.run("version", check=False).code:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the engine doesn't start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)


def _remove(group: Path) -> None:
    """A cgroup with all below it; its last processes may take a moment to be gone."""
    deadline = time.monotonic() + 10
    for folder in sorted((one for one in [group, *group.rglob("*")] if one.is_dir()), reverse=True):
        while True:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
            break
