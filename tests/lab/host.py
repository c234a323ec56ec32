"""What a test does with a host: files, addresses, services, disks, its clock, its journal."""

import subprocess
from typing import TYPE_CHECKING

from .commands import enter
from .machine import Machine

if TYPE_CHECKING:
    from .clock import FakeClock


class Host(Machine):
    """A Debian of its own in the lab. Made by `Lab`, which also owns its place in the network.

    Power: `boot`, `power_off` (the cable is pulled), `reboot` (a clean one), `freeze` and `thaw`.
    Work: `run`, `start`, `read`, `write`, and verbs on addresses, services, disks and the clock.
    """

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
        done = subprocess.run([*enter(self._switch.inside, "-m"), *root], capture_output=True, timeout=20, check=False)
        return done.stdout.decode(errors="replace")
