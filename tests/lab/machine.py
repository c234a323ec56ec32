"""A machine of the lab: namespaces, a disk and a cgroup, with systemd as PID 1. It has power, and runs commands."""

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .commands import Background, Command, Done, beside, enter, kill_group, shown
from .errors import LabError, LabTimeout
from .net import Plug, Switch

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT = Path(__file__).with_name("host-init")


class Machine:
    """Power and commands; `Host` adds what a test does with them."""

    def __init__(
        self, name: str, cards: tuple[Plug, ...], switch: Switch, folder: Path, cgroup: Path,
        layers: Sequence[Path], disks: Path, mounts: Sequence[tuple[str, Path, str]], addresses: Sequence[str],
    ) -> None:  # fmt: skip
        self.name = name
        self.cards = cards
        self.ip = cards[0].ipv4
        self.ipv6 = cards[0].ipv6
        self.listeners: list[Callable[[Machine, str, float], None]] = []
        self._switch = switch
        self._folder = folder
        self._cgroup = cgroup
        self._disk = disks / name
        self._layers = layers
        self._first_addresses = list(addresses)
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._seeded = False
        self._power = threading.RLock()
        self._backgrounds = 0
        folder.mkdir(exist_ok=True)
        lines = [f"{mode} {source} {target}\n" for mode, source, target in mounts]
        (folder / "mounts").write_text("".join(lines))

    def __repr__(self) -> str:
        return f"<lab host {self.name}, {'on' if self.on else 'off'}>"

    # power ------------------------------------------------------------------------------------------------

    @property
    def on(self) -> bool:
        """Whether it has power."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of its PID 1, as this machine sees it."""
        if not self.on:
            raise LabError(f"{self.name} has no power")
        return self._pid

    def boot(self, *, wait: bool = True, timeout: float = 60) -> None:
        """Give it power. Its disk is as it was left. Waits until systemd has started everything, unless told not to.

        Raises:
            LabTimeout: it wasn't up within so many seconds.
            LabError: it has power already, or a unit failed to start.
        """
        with self._power:
            if self.on:
                raise LabError(f"{self.name} is on already")
            self._wait_dead(10)  # one that switched itself off may still be at it
            self._cgroup.mkdir(parents=True, exist_ok=True)
            (self._cgroup / "cgroup.freeze").write_text("0")  # it may have lost its power while it hung
            began = time.time()
            console = (self._folder / "console.log").open("ab")
            self._process = subprocess.Popen(
                [*enter(self._switch.inside, "-n", "-m", "-p"), "sh", "-ec", self._power_on_script()],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
            )  # fmt: skip
            console.close()
            self._pid = self._find_init(timeout)
            self._seeded = True
            (self._cgroup / "lab-exec").mkdir(exist_ok=True)
        self._tell("on", began)
        if wait:
            self.wait_booted(timeout)

    def wait_booted(self, timeout: float = 60) -> None:
        """Wait until systemd says that it's running."""
        deadline = time.monotonic() + timeout
        state = ""
        while time.monotonic() < deadline:
            left = deadline - time.monotonic()
            done = self.run("systemctl is-system-running --wait", check=False, timeout=max(left, 0.1))
            state = done.out.strip() or done.err.strip()
            if state == "running":
                return
            if state == "degraded":
                raise LabError(f"{self.name} is degraded: {self.run('systemctl --failed --plain --no-legend').out}")
            time.sleep(0.02)
        raise LabTimeout(f"{self.name} wasn't up within {timeout} s: {state}")

    def power_off(self) -> None:
        """Cut its power: every process ends at once, its network card falls silent. Returns when that is certain."""
        with self._power:
            if not self.on or self._process is None:
                return
            # The cards first: a kernel that outlives its processes would close their connections on the wire.
            self._switch.run(*(f"ip link del {card.port}" for card in self.cards))
            os.kill(self._pid, signal.SIGKILL)
            self._wait_dead(10)
        self._tell("off", time.time())

    def shut_down(self, timeout: float = 30) -> None:
        """Ask it to stop in good order (``systemctl poweroff``), and wait until it has."""
        with self._power:
            self.run("systemctl poweroff", check=False)
            self._wait_dead(timeout)
        self._tell("off", time.time())

    def reboot(self, timeout: float = 60) -> None:
        """Restart it in good order."""
        self.shut_down(timeout)
        self.boot(timeout=timeout)

    def freeze(self) -> None:
        """Hang it: no process runs, yet its kernel goes on answering ARP, ping and TCP handshakes."""
        self._freezer("1")

    def thaw(self) -> None:
        """Let it run on from where it hung."""
        self._freezer("0")

    # work -------------------------------------------------------------------------------------------------

    def run(self, command: Command, *, timeout: float = 30, check: bool = True, stdin: str | bytes = b"") -> Done:
        """Run a command as root (a string goes through sh), and wait for its end.

        Raises:
            LabTimeout: not done within so many seconds; it has been killed then, with all its children.
            LabError: it ended with another code than 0, and ``check`` is on.
        """
        began = time.monotonic()
        process = subprocess.Popen(
            self.argv(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        try:
            out, err = process.communicate(stdin.encode() if isinstance(stdin, str) else stdin, timeout)
        except subprocess.TimeoutExpired:
            kill_group(process)
            raise LabTimeout(f"{self.name}: not done within {timeout} s: {shown(command)}") from None
        except BaseException:
            kill_group(process)
            raise
        text = (out.decode(errors="replace"), err.decode(errors="replace"))
        done = Done(process.returncode, *text, time.monotonic() - began)
        if check and done.code:
            raise LabError(f"{self.name}: {shown(command)} ended with {done.code}: {(done.err or done.out).strip()}")
        return done

    def start(self, command: Command) -> Background:
        """Start a command and leave it running."""
        self._backgrounds += 1
        output = self._folder / f"background-{self._backgrounds}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                self.argv(command), stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        return Background(process, output)

    def argv(self, command: Command) -> list[str]:
        """The command line that runs a command here, for a caller who brings a terminal or pipes of its own."""
        inner = ["sh", "-c", command] if isinstance(command, str) else list(command)
        # In the host's cgroup, so that a command hangs when the host is frozen, and is killed with it.
        join = f'echo $$ > {self._cgroup}/lab-exec/cgroup.procs; exec "$@"'
        clean = ["env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", f"TERM={os.environ.get('TERM', 'dumb')}"]
        return ["sh", "-c", join, "sh", *enter(self.pid, "-m", "-u", "-i", "-n", "-p", "-C"), *clean, *inner]

    def beside(self, program: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Python program of this machine in the host's network; it dies, but doesn't freeze, with the host."""
        return beside(self.pid, program, *arguments)

    def console(self) -> str:
        """What its boot said before there was a journal."""
        return (self._folder / "console.log").read_text(errors="replace")

    def bury(self) -> None:
        """Reap its process, once the lab has ended."""
        if self._process:
            self._process.wait(10)

    # inside -----------------------------------------------------------------------------------------------

    def _power_on_script(self) -> str:
        disk, net = self._disk, f"/run/netns/{self.name}"
        lines = []
        if not self._seeded:
            lower = ":".join(str(layer) for layer in self._layers)
            lines += [
                f"mkdir -p {disk}/upper {disk}/work {disk}/root",
                # redirect_dir: a folder of a layer below can be renamed, as on every real disk.
                "mount -t overlay overlay -o redirect_dir=on,"
                f"lowerdir={lower},upperdir={disk}/upper,workdir={disk}/work {disk}/root",
                # Unpacked from within: an absolute symlink on the disk must not lead to the machine's own files.
                f"tar -C {self._folder}/seed -cf - . | chroot {disk}/root tar -xpf - --keep-directory-symlink",
            ]
        lines.append(f"ip netns add {self.name}")
        inside = ["ip link set lo up"]
        for card in self.cards:
            lines.append(
                f"ip link add {card.port} type veth peer name {card.interface} netns {self.name} address {card.mac}; "
                f"ip link set {card.port} master {card.bridge} up"
            )
            inside += card.addressed()
        lines += self._switch.replug(self.cards)
        if self.name == "router":
            inside.append("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        if not self._seeded:
            inside += [f"ip addr add {a} dev eth0{' nodad' if ':' in a else ''}" for a in self._first_addresses]
        spaces = "--mount --uts --ipc --pid --fork --kill-child=KILL"
        arguments = shlex.join(
            [str(INIT), self.name, str(disk / "root"), str(self._cgroup), str(self._folder / "mounts")]
        )
        lines += [
            f"nsenter --net={net} sh -ec {shlex.quote(chr(10).join(inside))}",
            # The name goes before the host starts: its network then lives exactly as long as its processes.
            f"exec 9< {net}; ip netns del {self.name}",
            f"exec nsenter --net=/dev/fd/9 sh -c 'exec 9<&-; exec unshare {spaces} /bin/sh {arguments}'",
        ]
        return "\n".join(lines)

    def _find_init(self, timeout: float) -> int:
        """The process id of the host's systemd: two generations below the process that we started."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self.on:
                raise LabError(f"{self.name} didn't boot: {self.console()[-2000:]}")
            pid = self._process.pid if self._process else 0
            for _ in range(2):
                pid = next(iter(_children(pid)), 0)
            if pid and _comm(pid) == "systemd":
                return pid
            time.sleep(0.005)
        raise LabTimeout(f"{self.name} had no systemd within {timeout} s: {self.console()[-2000:]}")

    def _wait_dead(self, timeout: float) -> None:
        """Until its processes are reaped and its cards are gone from the switch."""
        deadline = time.monotonic() + timeout
        ports = {card.port for card in self.cards}
        while self.on or ports & self._switch.ports():
            if time.monotonic() > deadline:
                raise LabTimeout(f"{self.name} still lives {timeout} s after it lost power")
            time.sleep(0.001)

    def _freezer(self, state: str) -> None:
        (self._cgroup / "cgroup.freeze").write_text(state)
        deadline = time.monotonic() + 10
        while self._frozen() != (state == "1"):
            if time.monotonic() > deadline:
                raise LabTimeout(f"{self.name} wasn't {'frozen' if state == '1' else 'thawed'} within 10 s")
            time.sleep(0.001)

    def _frozen(self) -> bool:
        events = self._cgroup / "cgroup.events"
        return events.exists() and "frozen 1" in events.read_text()

    def _tell(self, state: str, at: float) -> None:
        for listener in list(self.listeners):
            listener(self, state, at)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
