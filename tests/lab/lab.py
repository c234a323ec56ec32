"""A lab: hosts, their network, and one end for all of it."""

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from . import base, disk, layers, net, warden, wcm, wcm_seed
from .errors import LabError
from .host import Host
from .needs import cgroup_root, require
from .net import Fault, Plug, Switch
from .pdu import PowerOutlets
from .site import FOLDER, build_site, packed
from .wcm import Made

EVERYONE = ("monitor", "client", "router", "web", "web-backup", "wcm", "wcm-backup", "db", "db-backup")

#: The build of the site on each host at the start: the backup's is an old one.
BUILDS = {"web": "build-1", "web-backup": "build-0", "wcm": "build-1", "wcm-backup": "build-1"}

LIFE_SECONDS = 3 * 3600
T = TypeVar("T")


class Lab:
    """Real hosts in namespaces of their own, in a ``with`` block; ``lab["web-backup"]`` or ``lab.web_backup`` is one.

    Args:
        hosts: names, of `EVERYONE` or free ones for extra machines. ``client`` brings ``router`` along.
        service: addresses that ``web`` holds at its first boot (not after a reboot: see `Host.boot_addresses`).
        builds: the site's build by host at the start.
        packages: more Debian packages, for every host.
        units: a folder of systemd units, sysusers and tmpfiles for the monitor.
        disks: a folder for the hosts' disks; by default they are in memory, and quick.
        life_seconds: when this is over, everything ends, whoever still uses it.
        wcm: have a real WCM, with its database on ``postgresql`` or ``mariadb``: see `tests.lab.wcm`.

    Raises:
        LabUnavailable: something is missing on this machine; says what to install.
    """

    def __init__(
        self, hosts: Iterable[str] = EVERYONE, *, service: Sequence[str] = net.SERVICE_ADDRESSES,
        builds: Mapping[str, str] = BUILDS, packages: Sequence[str] = (), disks: Path | None = None,
        units: Path = layers.REPOSITORY / "systemd", life_seconds: float = LIFE_SECONDS, wcm: str | None = None,
    ) -> None:  # fmt: skip
        names = list(dict.fromkeys(hosts))
        if "client" in names and "router" not in names:
            names.append("router")
        self.plan = net.plugs(names)
        self.hosts: dict[str, Host] = {}
        self.outlets: PowerOutlets | None = None
        self._service = list(service)
        self._builds = dict(builds)
        self._packages = list(packages)
        self._disks = disks
        self._units = units
        self._engine = wcm
        self.made: Made | None = None
        self._life_seconds = life_seconds
        self._warden: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Lab":
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def __getitem__(self, name: str) -> Host:
        try:
            return self.hosts[name]
        except KeyError:
            raise LabError(f"no host {name!r} in this lab; there are {', '.join(self.hosts) or 'none'}") from None

    def __getattr__(self, name: str) -> Host:
        hosts: dict[str, Host] = self.__dict__.get("hosts", {})
        if (host := hosts.get(name.replace("_", "-"))) is None:
            raise AttributeError(f"no host {name.replace('_', '-')!r} in this lab; there are {', '.join(hosts)}")
        return host

    # life -------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Make the network, and boot every host, all at the same time."""
        require()
        root = base.root()
        packages = [base.packages(self._packages)] if self._packages else []
        monitor = [base.requirements()] if "monitor" in self.plan else []
        self.made = wcm.made(self._engine) if self._engine else None
        groups = cgroup_root()
        assert groups is not None  # `require` has looked
        warden.sweep(groups)
        self.state = Path(tempfile.mkdtemp(prefix=f"{warden.PREFIX}{os.getpid()}-{secrets.token_hex(3)}-"))
        cgroup = groups / self.state.name
        try:
            switch = Switch(self._start_warden(cgroup), root)
            switch.build()
            self.switch = switch
            disks = self._make_disk_space()
            self._make_keys()
            (self.state / "pdu").mkdir()
            for name, cards in self.plan.items():
                below, mounts = [*packages, root], []
                if self.made:
                    below = [*self.made.below(name), *below]
                if name == "monitor":
                    below = [*monitor, *below]
                    mounts = [*disk.project_mounts(), ("rw", self.state / "pdu", "/run/lab-pdu")]
                self.hosts[name] = Host(
                    name, cards, switch, self.state / name, cgroup / name, below, disks, mounts,
                    self._service if name == "web" else [],
                )  # fmt: skip
                seed = self.state / name / "seed"
                keys, build = self.state / "keys", self._builds.get(name)
                if self.made and name in wcm.HOSTS:
                    build = None  # it published its site when it was made
                disk.seed(seed, name, self.plan, keys, build, units=self._units)
                if self.made:
                    wcm_seed.seed(seed, name, self.plan, keys, self.made)
            self.outlets = PowerOutlets(self.state / "pdu" / "socket", self.hosts)
            self.each(lambda host: host.boot())
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End every host, and remove all that the lab made. Asking twice is harmless."""
        if self.outlets:
            self.outlets.close()
            self.outlets = None
        if self._warden and self._warden.stdin:
            self._warden.stdin.close()
            try:
                self._warden.wait(30)
            except subprocess.TimeoutExpired:
                self._warden.kill()
                raise LabError(f"the lab's warden didn't end within 30 s; look at {self.state}") from None
            finally:
                if self._warden.stdout:
                    self._warden.stdout.close()
                self._warden = None
        for host in self.hosts.values():
            host.bury()
        if state := self.__dict__.get("state"):
            shutil.rmtree(state, ignore_errors=True)  # there is something left only if there never was a warden

    def each(self, do: Callable[[Host], T], names: Iterable[str] | None = None) -> list[T]:
        """Do something with many hosts (all, if none is named) at the same time; the first error is raised."""
        hosts = [self[name] for name in names] if names is not None else list(self.hosts.values())
        if not hosts:
            return []
        with ThreadPoolExecutor(len(hosts), thread_name_prefix="lab") as pool:
            return list(pool.map(do, hosts))

    # the network's faults ---------------------------------------------------------------------------------

    def cut(self, *names: str) -> Fault:
        """Take the hosts' cables out of the switch (all of a host's). They notice: no carrier."""
        return self.switch.unplug(*(card for name in names for card in self._cards(name)))

    def cut_outgoing(self, name: str) -> Fault:
        """What the host sends gets lost; it still hears the others."""
        return self.switch.drop(f"{name} is not heard", *(f"iifname {card.port}" for card in self._cards(name)))

    def cut_incoming(self, name: str) -> Fault:
        """What is sent to the host gets lost; the others still hear it."""
        return self.switch.drop(f"{name} is deaf", *(f"oifname {card.port}" for card in self._cards(name)))

    def block(self, one: str, other: str, *, one_way: bool = False) -> Fault:
        """Lose everything between two hosts of one segment, or only what goes from the first to the second."""
        here, there = self._neighbours(one, other)
        ways = [f"iifname {here.port} oifname {there.port}"]
        if not one_way:
            ways.append(f"iifname {there.port} oifname {here.port}")
        return self.switch.drop(f"{one} {'->' if one_way else '<->'} {other} blocked", *ways)

    def drop(self, share: float, name: str, other: str | None = None) -> Fault:
        """Lose a share of the packets (0.3 is 30 %) from and to a host, or only those between it and another one."""
        if other is None:
            matches = [f"{way} {card.port}" for card in self._cards(name) for way in ("iifname", "oifname")]
        else:
            here, there = self._neighbours(name, other)
            matches = [f"iifname {a} oifname {b}" for a, b in ((here.port, there.port), (there.port, here.port))]
        sentence = f"{share:.0%} of {name}'s packets{f' with {other}' if other else ''} lost"
        return self.switch.drop(sentence, *matches, share=share)

    def heal(self) -> None:
        """Heal every fault of the network."""
        for fault in list(self.switch.faults):
            fault.heal()

    # the site ---------------------------------------------------------------------------------------------

    def publish(self, build: str, *, on: str = "wcm", pages: int = 20) -> None:
        """Replace the site's content on a host (the WCM, unless told otherwise) by a new build, file by file."""
        script = 'mkdir -p "$1" && tar -xf - -C "$1" --no-same-owner'
        self[on].run(["sh", "-ec", script, "sh", FOLDER], stdin=packed(build_site(build, pages)), timeout=60)

    def save_logs(self, folder: Path) -> None:
        """Write each host's journal and console to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, host in self.hosts.items():
            with contextlib.suppress(LabError, subprocess.SubprocessError):  # one mute host must not hide the others
                (folder / f"{name}.log").write_text(host.console() + host.journal())

    # inside -----------------------------------------------------------------------------------------------

    def _start_warden(self, cgroup: Path) -> int:
        with (self.state / warden.ALIVE).open("w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)  # shared with the warden, and free when that is gone
            self._warden = subprocess.Popen(
                [sys.executable, "-I", "-S", warden.__file__, str(self.state), str(cgroup), str(self._life_seconds)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[alive.fileno()], start_new_session=True,
            )  # fmt: skip
        assert self._warden.stdout
        answer = self._warden.stdout.readline().strip()
        if not answer.isdigit():
            raise LabError("the lab's warden didn't start")
        return int(answer)

    def _make_disk_space(self) -> Path:
        space = self.state / "disks"
        space.mkdir()
        if self._disks is None:
            self.switch.run(f"mount -t tmpfs -o size=60%,mode=755 tmpfs {space}")
        else:
            target = Path(tempfile.mkdtemp(prefix=f"{self.state.name}-", dir=self._disks)).resolve()
            (self.state / warden.ELSEWHERE).write_text(str(target))
            self.switch.run(f"mount --bind {target} {space}")
        self.switch.run("mkdir -p /run/netns", "mount -t tmpfs tmpfs /run/netns")
        return space

    def _make_keys(self) -> None:
        keys = self.state / "keys"
        keys.mkdir(mode=0o700)
        disk.make_key(keys / "operator", "operator@lab")
        for name in self.plan:
            disk.make_key(keys / f"host-{name}", name)
        if self.made:
            wcm_seed.make_keys(keys, self.plan)

    def _cards(self, name: str) -> tuple[Plug, ...]:
        return self[name].cards

    def _neighbours(self, one: str, other: str) -> tuple[Plug, Plug]:
        for here in self._cards(one):
            for there in self._cards(other):
                if here.segment == there.segment:
                    return here, there
        raise LabError(f"{one} and {other} share no segment: block one of them from the router")
