"""One host of the lab: a Debian of its own, with systemd as its PID 1."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import LabError, LabTimeout
from .net import Plug, Switch

if TYPE_CHECKING:
    from .clock import FakeClock

Command = str | Sequence[str]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT = Path(__file__).with_name("host-init")


@dataclass(frozen=True)
class Done:
    """A command that ended on a host."""

    code: int
    out: str
    err: str
    seconds: float


class Background:
    """A command that runs on a host until it ends, is stopped, or the host loses power."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def output(self) -> str:
        """What it has written so far, both streams together."""
        return self._output.read_text(errors="replace")

    def wait(self, timeout: float) -> int:
        """Its return code, or `LabTimeout` after so many seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabTimeout(f"still running after {timeout} s: {self._output.name}") from None

    def stop(self) -> None:
        """Kill it with all its children."""
        _kill_group(self._process)


class Host:
    """A machine of the lab. Made by `Lab`, which also owns its place in the network.

    Power: `boot`, `power_off` (the cable is pulled), `reboot` (a clean one), `freeze` and `thaw`.
    Work: `run`, `start`, `read`, `write`, and verbs on addresses, services, disks and the clock.
    """

    def __init__(
        self, name: str, cards: tuple[Plug, ...], switch: Switch, folder: Path, cgroup: Path,
        layers: Sequence[Path], disks: Path, mounts: Sequence[tuple[str, Path, str]], addresses: Sequence[str],
    ) -> None:  # fmt: skip
        self.name = name
        self.cards = cards
        self.ip = cards[0].ipv4
        self.ipv6 = cards[0].ipv6
        self.listeners: list[Callable[[Host, str, float], None]] = []
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
                [*_enter(self._switch.inside, "-n", "-m", "-p"), "sh", "-ec", self._power_on_script()],
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
            _kill_group(process)
            raise LabTimeout(f"{self.name}: not done within {timeout} s: {_shown(command)}") from None
        except BaseException:
            _kill_group(process)
            raise
        text = (out.decode(errors="replace"), err.decode(errors="replace"))
        done = Done(process.returncode, *text, time.monotonic() - began)
        if check and done.code:
            raise LabError(f"{self.name}: {_shown(command)} ended with {done.code}: {(done.err or done.out).strip()}")
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
        return ["sh", "-c", join, "sh", *_enter(self.pid, "-m", "-u", "-i", "-n", "-p", "-C"), *clean, *inner]

    def beside(self, program: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Python program of this machine in the host's network; it dies, but doesn't freeze, with the host."""
        return beside(self.pid, program, *arguments)

    def read(self, path: str) -> str:
        """The text of a file."""
        return self.run(["cat", path]).out

    def write(self, path: str, text: str | bytes, *, mode: str = "644") -> None:
        """Write a file, with its folder; in place of an older one by one rename."""
        script = 'mkdir -p "${1%/*}" && cat > "$1.lab-new" && chmod "$2" "$1.lab-new" && mv -T "$1.lab-new" "$1"'
        self.run(["sh", "-ec", script, "sh", path, mode], stdin=text)

    def exists(self, path: str) -> bool:
        """Whether something is there."""
        return self.run(["test", "-e", path], check=False).code == 0

    # addresses --------------------------------------------------------------------------------------------

    def addresses(self) -> set[str]:
        """Its IP addresses now, without prefix length, loopback and link-local ones left out."""
        words = (line.split() for line in self.run("ip -o addr show scope global").out.splitlines())
        return {found[3].partition("/")[0] for found in words}

    def add_address(self, address: str, *, interface: str = "eth0", announce: bool = True) -> None:
        """Add an address (IPv6: without duplicate detection); an IPv4 one is announced, unless told not to."""
        ip = address.partition("/")[0]
        quick = " nodad" if ":" in ip else ""
        self.run(f"ip addr add {address} dev {interface}{quick}")
        if announce and ":" not in ip:
            # arping returns a second after its packet left: nobody needs to wait for that.
            self.run(f"arping -q -A -c 1 -I {interface} {ip} >/dev/null 2>&1 </dev/null &")

    def del_address(self, address: str, *, interface: str = "eth0") -> None:
        """Take an address away."""
        self.run(f"ip addr del {address} dev {interface}")

    def boot_addresses(self, *addresses: str) -> None:
        """Write addresses into its boot config: a unit claims them at every boot to come, asking nobody."""
        self.write("/etc/lab/boot-addresses", "".join(f"{address}\n" for address in addresses))
        self.run(f"systemctl -q {'enable' if addresses else 'disable'} boot-addresses.service")

    # services, disks, clock --------------------------------------------------------------------------------------

    def hang_service(self, unit: str) -> None:
        """SIGSTOP every process of a unit: its port goes on accepting, nothing answers."""
        self.run(["systemctl", "kill", "--signal=STOP", unit])

    def resume_service(self, unit: str) -> None:
        """SIGCONT every process of a unit."""
        self.run(["systemctl", "kill", "--signal=CONT", unit])

    def kill_service(self, unit: str) -> None:
        """SIGKILL every process of a unit."""
        self.run(["systemctl", "kill", "--signal=KILL", unit])

    def small_disk(self, path: str, *, size: str = "1m", inodes: int | None = None) -> None:
        """Put a disk of so few bytes (and inodes) at a folder, with what is there now copied onto it.

        ``size`` as in tmpfs(5), e.g. ``512k``. A copy that doesn't fit raises. `large_disk` takes it away again.
        """
        options = f"size={size},mode=755" + (f",nr_inodes={inodes}" if inodes else "")
        script = """
            mkdir -p "$1"; new=$(mktemp -d); mount -t tmpfs -o "$2" tmpfs "$new"
            cp -a "$1/." "$new/" || { umount "$new"; exit 1; }
            mount --move "$new" "$1" 2>/dev/null || { mount --bind "$new" "$1"; umount "$new"; }
        """
        self.run(["sh", "-ec", script, "sh", path, options])

    def large_disk(self, path: str) -> None:
        """Take the small disk at a folder away, with what was written to it."""
        self.run(["umount", "-l", path])

    def fake_clock(self, unit: str) -> "FakeClock":
        """A wall clock that can be set, for one service (see `tests.lab.clock`); it is restarted if it runs."""
        from .clock import FakeClock

        return FakeClock(self, unit)

    def journal(self) -> str:
        """Its system journal of all boots, whether it has power now or not."""
        read = "journalctl --no-pager -q -o short-precise -n 20000"
        if self.on and not self._frozen():
            return self.run(read, timeout=20, check=False).out
        if not self._seeded:
            return ""
        root = ["chroot", str(self._disk / "root"), *read.split(), "-D", "/var/log/journal"]
        done = subprocess.run([*_enter(self._switch.inside, "-m"), *root], capture_output=True, timeout=20, check=False)
        return done.stdout.decode(errors="replace")

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
                f"mount -t overlay overlay -o lowerdir={lower},upperdir={disk}/upper,workdir={disk}/work {disk}/root",
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


def beside(pid: int, program: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a Python program of this machine in the network and process namespaces of a process of the lab."""
    command = [*_enter(pid, "-n", "-p"), sys.executable, "-I", "-S", str(program), *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)


def _enter(pid: int, *spaces: str) -> list[str]:
    where = ["--wdns=/"] if "-m" in spaces else []
    return ["nsenter", "-t", str(pid), *spaces, *where, "--"]


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


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself
    process.wait(10)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def _shown(command: Command) -> str:
    return command if isinstance(command, str) else shlex.join(command)
