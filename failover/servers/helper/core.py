"""The small program of failover that runs on the servers: the only hand that changes anything there.

One file on a server (an executable zip of this package, decision 6), standard library only, Python 3.6 and later, run
as root by a forced SSH command. JSON lines come in on
stdin and go out on stdout (``docs/architecture.md``, "servers"). It can do what the verbs below can do, to what the
policy file names, and nothing else: no shell, no free command lines, no free paths.

How it is built: one process reads, answers and keeps the time; it has no threads and touches nothing that can hang.
Each request is worked on in a forked process with a session of its own, so that its end means the end of everything
it started. Changes run one at a time on a server, whichever helper process was asked, and only with the newest token.

Other ways to start it, for root on the server: ``guard [--late]``, ``unpark IP``, ``unpark UNIT``, ``announce ...``;
and for the user who pulls content: ``serve-content``. ``--root DIR`` moves policy, state and log socket, for tests:
sudo never passes it on, since the sudoers line allows no argument.
"""

import collections
import ctypes
import errno
import fcntl
import hashlib
import ipaddress
import json
import os
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import traceback
from binascii import hexlify, unhexlify
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

VERSION = "0.1.0"
PROGRAM = os.path.abspath(getattr(globals().get("__loader__"), "archive", __file__))
"""What was started: the zip, or this file where the sources are used as they are."""
PROTOCOL = 1
MAX_LINE_BYTES = 1 << 20
MAX_ASKS = 16
MAX_CHANGES = 8
MAX_OUTBOX_BYTES = 8 << 20
ASK_SECONDS = 30.0
LONGEST_SECONDS = 6 * 3600.0
TOOL_SECONDS = 10.0
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
CLOCK_BOOTTIME = 7  # counts while suspended; time.CLOCK_BOOTTIME came with Python 3.7

Args = Dict[str, Any]
Answer = Dict[str, Any]
Token = Tuple[int, int]

_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38


class Refused(Exception):
    """No, and nothing was changed. ``kind`` is for programs, the sentence for people."""

    def __init__(self, kind: str, sentence: str, result: Optional[Answer] = None) -> None:
        super().__init__(sentence)
        self.kind, self.result = kind, result


class Failed(Refused):
    """Something was begun and went wrong; ``result`` is how things stand."""


def boottime() -> float:
    """Seconds since boot, suspended time included."""
    return time.clock_gettime(CLOCK_BOOTTIME)


def boot_id() -> str:
    """The kernel's name for this boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


# ---------------------------------------------------------------------------------------------------------------------
# places, log, policy


class Places:
    """Where things lie on a server."""

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.policy = root + "/etc/failover-helper/policy.json"
        self.run = root + "/run/failover-helper"
        self.state = root + "/var/lib/failover-helper"
        self.manifests = self.state + "/manifests"
        self.content_key = self.state + "/content_key"
        self.log_socket = root + "/dev/log"

    def log(self, sentence: str) -> None:
        """One line to syslog (authpriv.notice). Never waits: a stopped journald must not hold up a recovery."""
        text = json.dumps(sentence, ensure_ascii=True)[1:-1].replace('\\"', '"')
        line = f"<{(10 << 3) | 5}>failover-helper[{os.getpid()}]: {text[:4000]}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(line.encode(), self.log_socket)
        except OSError:
            pass  # no log is no reason not to act; the journal of the monitor has the change too


class Policy:
    """What may be touched on this server, as root wrote it."""

    KEYS = frozenset(
        "site server addresses units paths serve sources see commands max_output_bytes content_user"
        " databases backups connect services".split()
    )

    def __init__(self, text: bytes) -> None:
        self.sha256 = hashlib.sha256(text).hexdigest()
        data = parse_json(text)
        if not isinstance(data, dict) or set(data) - self.KEYS:
            unknown = sorted(set(data) - self.KEYS) if isinstance(data, dict) else type(data).__name__
            raise ValueError(f"unknown keys: {unknown}")
        self.site, self.server = str(data.get("site", "")), str(data.get("server", ""))
        self.addresses: Dict[str, Answer] = {}
        for entry in data.get("addresses", []):
            ip, prefix = ipaddress.ip_address(entry["ip"]), entry.get("prefix")
            if not (prefix is None or is_int(prefix) and 0 <= prefix <= ip.max_prefixlen):
                raise ValueError(f"{ip}: {prefix!r} is no prefix length")
            if not re.match(r"[A-Za-z0-9._-]{1,15}\Z", entry["interface"]):
                raise ValueError("an interface name has up to 15 characters out of A-Z a-z 0-9 . _ -")
            self.addresses[str(ip)] = {"ip": str(ip), "interface": entry["interface"], "prefix": prefix}
        self.units = {self._unit(unit) for unit in data.get("units", [])}
        self.paths = {self._path(entry["path"]): entry for entry in data.get("paths", [])}
        self.serve = {self._path(entry["path"]) for entry in data.get("serve", [])}
        self.sources: Dict[str, Answer] = dict(data.get("sources", {}))
        self.see = [ipaddress.ip_network(network) for network in data.get("see", [])]
        self.commands: Dict[str, List[str]] = dict(data.get("commands", {}))
        for name, argv in self.commands.items():
            if not (
                isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv) and argv[0][:1] == "/"
            ):
                raise ValueError(f"command {name!r}: {argv!r} is no list of words that starts with an absolute path")
        self.max_output_bytes = min(int(data.get("max_output_bytes", 65536)), MAX_LINE_BYTES // 2)
        # What only one verb understands is checked by the file of that verb.
        self.databases = {str(entry["name"]): dict(entry) for entry in data.get("databases", [])}
        self.backups = {str(entry["set"]): dict(entry) for entry in data.get("backups", [])}
        self.connect = {str(entry["file"]): dict(entry) for entry in data.get("connect", [])}
        self.services = [dict(entry) for entry in data.get("services", [])]
        self.content_user: Optional[str] = data.get("content_user", "failover-content")

    @staticmethod
    def _unit(name: str) -> str:
        if not re.match(r"[A-Za-z0-9:_.@\\-]{1,200}\Z", name) or name.startswith("-"):
            raise ValueError(f"{name!r} is no unit name")
        return name

    @staticmethod
    def _path(path: str) -> str:
        if (
            path == "/"
            or os.path.normpath(path) != path
            or not path.startswith("/")
            or path.startswith("//")
            or "\0" in path
        ):
            raise ValueError(f"{path!r} is no absolute path without '.', '..' and a slash at its end")
        return path

    @classmethod
    def read(cls, places: Places) -> "Policy":
        """The policy as it is now.

        Raises:
            Refused: ``bad-policy``: none there, somebody but root may write to it, or it can't be understood.
        """
        try:
            fd = os.open(places.policy, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(fd, "rb") as file:
                for what in (os.fstat(fd), os.stat(os.path.dirname(places.policy))):
                    if what.st_uid not in (0, os.geteuid()) or what.st_mode & 0o022:
                        raise Refused("bad-policy", f"{places.policy}: somebody but root may write to it")
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise Refused("bad-policy", f"{places.policy} is not a regular file")
                return cls(file.read(MAX_LINE_BYTES))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refused("bad-policy", f"{places.policy}: {plain(error)}") from None

    def address(self, ip: str) -> Answer:
        """The entry of a service address."""
        try:
            return self.addresses[str(ipaddress.ip_address(ip))]
        except (ValueError, KeyError):
            raise not_in_policy("address", ip, self.addresses) from None

    def unit(self, name: str) -> str:
        """A unit's name, if it may be touched; the suffix ``.service`` may be left out."""
        for form in (name, name + ".service", name[:-8] if name.endswith(".service") else name):
            if form in self.units:
                return form
        raise not_in_policy("unit", name, self.units)

    def sees(self, ip: str) -> str:
        """An address that may be looked at from here."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            raise Refused("bad-request", f"{ip[:100]!r} is no IP address") from None
        if not any(address in network for network in self.see if network.version == address.version):
            raise not_in_policy("address to look at", ip, self.see)
        return str(address)


def not_in_policy(what: str, value: str, known: Iterable[Any]) -> Refused:
    """The error for something that the policy doesn't name."""
    there = ", ".join(sorted(str(name) for name in known)[:20]) or "none"
    return Refused("not-in-policy", f"the {what} {value[:200]!r} is not in this server's policy, which names: {there}")


def plain(error: BaseException) -> str:
    """An error in words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return f"{type(error).__name__}: {error}" if not str(error) or isinstance(error, KeyError) else str(error)


def is_int(value: Any) -> bool:
    """Whether it is a whole number that isn't negative; True is none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def parse_json(text: bytes) -> Any:
    """JSON without what different readers read differently: doubled keys, NaN, numbers without end."""

    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands there twice")
        return found

    def number(digits: str) -> int:
        if len(digits) > 20:
            raise ValueError(f"a number of {len(digits)} digits")
        return int(digits)

    def constant(name: str) -> None:
        raise ValueError(f"{name} is no number")

    return json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_int=number, parse_constant=constant)


# ---------------------------------------------------------------------------------------------------------------------
# processes


def process_table() -> Dict[int, Tuple[int, int, int]]:
    """Parent, session and start time of every process."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if fields and fields[0] != b"Z":
                table[int(name)] = (int(fields[1]), int(fields[3]), int(fields[19]))
    return table


def family_of(leader: int) -> Set[int]:
    """A session with everything that descends from it, whatever process group it made for itself."""
    table = process_table()
    family = {pid for pid, (_, session, _) in table.items() if session == leader} | ({leader} & set(table))
    grown = -1
    while grown != len(family):
        grown = len(family)
        family |= {pid for pid, (parent, _, _) in table.items() if parent in family}
    return family


def end_self(*_: Any) -> None:
    """End this work with all that it started, itself last."""
    for pid in family_of(os.getpid()) - {os.getpid()}:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass  # it ended by itself
    os.killpg(0, signal.SIGKILL)


def end_work(leader: int) -> None:
    """Kill a session with everything that descends from it."""
    for _ in range(5):
        family = family_of(leader)
        if not family:
            return
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass  # it ended by itself
        time.sleep(0.005)


def write_line(fd: int, message: Answer) -> None:
    """One JSON line."""
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(fd, data) :]


class Work:
    """What the process that carries out one request knows: its policy, its time, and how to say how far it is."""

    def __init__(self, places: Places, verb: str, end: float, pipe: int = -1, token: Optional[Token] = None) -> None:
        self.places, self.verb, self.end, self.token = places, verb, end, token
        self.policy = Policy.read(places)
        self.began = False
        self.afterwards: Callable[[], None] = lambda: None
        """What may wait until the answer is said and the next change is let in."""
        self._pipe = pipe
        self._told = 0.0

    def send(self, message: Answer) -> None:
        """A line to the process that speaks with the monitor."""
        if self._pipe >= 0:
            write_line(self._pipe, message)

    def begin(self) -> None:
        """Say that from here on something changes. Refuses when it is too late for that."""
        self.in_time()
        if not self.began:
            self.began = True
            self.send({"began": True})

    def in_time(self) -> None:
        """Asked just before every effect: a frozen machine that thaws must not go on where it was."""
        if boottime() >= self.end:
            late = f"its time was over {boottime() - self.end:.3f} s ago"
            raise (Failed if self.began else Refused)("past-deadline", f"{self.verb} was not carried on: {late}")

    def left(self, most: float = LONGEST_SECONDS) -> float:
        """Seconds that are left, at least a moment."""
        return max(0.01, min(most, self.end - boottime()))

    def progress(self, **what: Any) -> None:
        """Tell the monitor, five times a second at most."""
        if boottime() - self._told >= 0.2:
            self._told = boottime()
            self.send({"progress": what})

    def run(self, argv: List[str], stdin: bytes = b"", within: float = TOOL_SECONDS) -> Tuple[int, str]:
        """A tool's exit code and what it said. No shell; bounded."""
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd="/"
        )
        try:
            out, _ = process.communicate(stdin, timeout=self.left(within))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise (Failed if self.began else Refused)(
                "timeout", f"{argv[0]} took more than {self.left(within):.3g} s"
            ) from None
        return process.returncode, out.decode("utf-8", "replace")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


# ---------------------------------------------------------------------------------------------------------------------
# the gate: the newest token, and one change at a time


class Gate:
    """Lets one change in at a time on this server, and none whose token is older than the newest seen (I3).

    Token and work in progress lie in /run, which outlives helpers and not the boot; a request for another boot is
    refused by its boot id. A copy of the token in /var/lib serves the first request after a boot.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._held = -1

    def newest(self) -> Optional[Token]:
        """The newest token seen."""
        for path in (self._places.run + "/token", self._places.state + "/token"):
            try:
                with open(path, "rb") as file:
                    epoch, run = file.read(100).split()[:2]
                return int(epoch), int(run)
            except (OSError, ValueError):
                continue
        return None

    def enter(self, work: Work, token: Token, boot: str, not_after: float, memory: Optional[Token]) -> None:
        """Wait for this change's turn. A newer token ends the work of an older one, in whatever process it runs.

        Letting go of an address works without a writable /run too: nothing is safer than silence.

        Raises:
            Refused: ``stale-token``, ``other-boot``, ``past-deadline``, ``busy``, ``no-token-store``.
        """
        self._check(work, token, boot, not_after, memory)
        try:
            os.makedirs(self._places.run, mode=0o755, exist_ok=True)
            with self._locked("token.lock", work):
                self._check(work, token, boot, not_after, memory)
                self._remember(token)
                self._end_older(token)
            self._held = self._lock("lock", work)
            with self._locked("token.lock", work):
                self._check(work, token, boot, not_after, memory)
                self._sign(work, token)
        except OSError as error:
            if not lets_go(work):
                raise Refused("no-token-store", f"{self._places.run} can't be written: {plain(error)}") from None
            self._places.log(f"goes on without {self._places.run}: {plain(error)}")

    def leave(self) -> None:
        """The change is over: let the next one in."""
        if self._held >= 0:
            try:
                os.unlink(self._places.run + "/work")
            except OSError:
                pass  # it names a process that will be gone
            os.close(self._held)
            self._held = -1

    def keep_copy(self, work: Work, token: Token) -> None:
        """Keep the token beyond this boot. Disk, so not where a dead disk could hold up the release of an address."""
        try:
            if not lets_go(work):
                os.makedirs(self._places.state, mode=0o755, exist_ok=True)
                put_file(self._places.state + "/token", "{} {}\n".format(*token).encode(), 0o644, durable=False)
        except OSError:
            pass  # /run has the token; the copy only serves after a boot

    def _check(self, work: Work, token: Token, boot: str, not_after: float, memory: Optional[Token]) -> None:
        newest = max([seen for seen in (self.newest(), memory) if seen is not None] or [(0, 0)])
        if token < newest:
            raise Refused(
                "stale-token", "token {}.{} is older than {}.{}, the newest seen here".format(*(token + newest))
            )
        if boot != boot_id():
            raise Refused("other-boot", f"meant for boot {boot[:100]}, this is {boot_id()}")
        if boottime() >= not_after:
            raise Refused("past-deadline", f"came {boottime() - not_after:.3f} s after its time was over")
        work.in_time()

    def _lock(self, name: str, work: Work) -> int:
        fd = os.open(os.path.join(self._places.run, name), os.O_RDWR | os.O_CREAT, 0o600)
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            except BlockingIOError:
                pass
            if work.end - boottime() < 0.05:
                os.close(fd)
                raise Refused("busy", "another change was still under way: {}".format(self._working() or "unknown"))
            time.sleep(0.003)

    def _locked(self, name: str, work: Work) -> Any:
        return os.fdopen(self._lock(name, work), "r+b", buffering=0)  # closing it lets go

    def _remember(self, token: Token) -> None:
        if self.newest() == token and os.path.exists(self._places.run + "/token"):
            return
        # In place and always as long: once the file is there, a full file system can't keep a newer token out.
        fd = os.open(self._places.run + "/token", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(fd, "{:>20} {:>20}\n".format(*token).encode(), 0)
        finally:
            os.close(fd)

    def _working(self) -> Optional[Answer]:
        try:
            with open(self._places.run + "/work", "rb") as file:
                found = parse_json(file.read(4096))
            alive = process_table().get(found["pid"])
            return dict(found) if alive is not None and alive[2] == found["start"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _end_older(self, token: Token) -> None:
        found = self._working()
        if found is not None and (found["epoch"], found["run"]) < token:
            self._places.log("ends {verb} of token {epoch}.{run}, process {pid}: a newer token came".format(**found))
            end_work(found["pid"])

    def _sign(self, work: Work, token: Token) -> None:
        start = process_table()[os.getpid()][2]
        entry = {"pid": os.getpid(), "start": start, "epoch": token[0], "run": token[1], "verb": work.verb}
        put_file(self._places.run + "/work", json.dumps(entry).encode(), 0o600, durable=False)


def lets_go(work: Work) -> bool:
    """Whether the change only lets go of an address."""
    return work.verb == "address released"


def put_file(path: str, data: bytes, mode: int, durable: bool = True) -> None:
    """Write a file in place of an older one, whole or not at all."""
    temporary = f"{path}.{os.getpid()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(fd)
        os.rename(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise


# ---------------------------------------------------------------------------------------------------------------------
# the kernel's view of the network, by rtnetlink(7): no tool to start, no disk to read

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR, RTM_GETLINK, RTM_NEWROUTE, RTM_GETROUTE, RTM_GETNEIGH = (
    20,
    21,
    22,
    18,
    24,
    26,
    30,
)
NLM_REQUEST, NLM_ACK, NLM_DUMP, NLM_EXCL, NLM_CREATE = 1, 4, 0x300, 0x200, 0x400
IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 6, 8
IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x02, 0x08, 0x40

Held = NamedTuple("Held", [("index", int), ("ip", str), ("prefix", int), ("flags", int), ("body", bytes)])
Link = NamedTuple(
    "Link", [("index", int), ("name", str), ("mac", bytes), ("flags", int), ("carrier", bool), ("ethernet", bool)]
)


def netlink(kind: int, flags: int, body: bytes, protocol: int = 0) -> List[bytes]:
    """One request to the kernel's routing, or another protocol of netlink; the bodies that it answers with.

    Raises:
        OSError: as the kernel says it.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as sock:
        sock.settimeout(5)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind((0, 0))
        sock.send(struct.pack("=IHHII", 16 + len(body), kind, flags | NLM_REQUEST, 1, 0) + body)
        found: List[bytes] = []
        while True:
            data = sock.recv(1 << 17)
            while len(data) >= 16:
                length, answer, _, _, _ = struct.unpack_from("=IHHII", data)
                payload, data = data[16:length], data[(length + 3) & ~3 :]
                if answer == 2:  # NLMSG_ERROR, which is also how it says that all is well
                    code = -struct.unpack_from("=i", payload)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return found
                if answer == 3:  # NLMSG_DONE
                    return found
                found.append(payload)


def attributes(body: bytes, start: int) -> Dict[int, bytes]:
    """The attributes of a message, by number."""
    return dict(attribute_list(body, start))


def attribute_list(body: bytes, start: int = 0) -> List[Tuple[int, bytes]]:
    """The attributes of a message, in order."""
    found = []
    while start + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, start)
        if length < 4:
            break
        found.append((kind & 0x3FFF, body[start + 4 : start + length]))
        start += (length + 3) & ~3
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def addresses() -> List[Held]:
    """Every address on every interface."""
    found: List[Any] = []
    for body in netlink(RTM_GETADDR, NLM_DUMP, bytes(8)):
        family, prefix, flags, _, index = struct.unpack_from("=BBBBI", body)
        if family in (socket.AF_INET, socket.AF_INET6):
            more = attributes(body, 8)
            if IFA_FLAGS in more:
                flags = struct.unpack("=I", more[IFA_FLAGS])[0]
            ip = socket.inet_ntop(family, more.get(IFA_LOCAL) or more[IFA_ADDRESS])
            found.append(Held(index, ip, prefix, flags, body))
    return found


def links() -> Dict[str, Link]:
    """Every interface by name."""
    found = {}
    for body in netlink(RTM_GETLINK, NLM_DUMP, bytes(16)):
        _, kind, index, flags, _ = struct.unpack_from("=BxHiII", body)
        more = attributes(body, 16)
        name = more[3].rstrip(b"\0").decode("utf-8", "replace")
        found[name] = Link(index, name, more.get(1, b""), flags, bool(flags & 0x10000), kind == 1)
    return found


def change_address(kind: int, index: int, ip: str, prefix: int) -> None:
    """Add or remove one address."""
    address = ipaddress.ip_address(ip)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, prefix, 0, 0, index)
    body += attribute(IFA_LOCAL, address.packed) + attribute(IFA_ADDRESS, address.packed)
    if kind == RTM_NEWADDR and address.version == 6:
        # We have just asked the link ourselves (RFC 4862, 5.4, demands it once); the kernel would take a second more.
        body += attribute(IFA_FLAGS, struct.pack("=I", IFA_F_NODAD))
        # Deprecated from the start: it is answered, and never chosen as the source of this server's own connections.
        body += attribute(IFA_CACHEINFO, struct.pack("=IIII", 0, 0xFFFFFFFF, 0, 0))
    netlink(kind, NLM_ACK | (NLM_CREATE | NLM_EXCL if kind == RTM_NEWADDR else 0), body)


def remove_address(held: Held, name: str) -> None:
    """Remove an address and nothing else.

    When the first IPv4 address of a subnet goes, the kernel by default removes the others of that subnet with it
    (``promote_secondaries`` = 0), and then the routes through them: the server's own address, and our way to it.
    """
    before = [other for other in addresses() if other.index == held.index and other.ip != held.ip]
    routes = main_routes()
    switch = f"/proc/sys/net/ipv4/conf/{name}/promote_secondaries"
    was = None
    try:
        with open(switch, "r+") as file:
            was = file.read().strip()
            if was == "0":
                file.seek(0)
                file.write("1")
    except OSError:
        pass  # what was lost is put back below
    try:
        change_address(RTM_DELADDR, held.index, held.ip, held.prefix)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
    finally:
        if was == "0":
            with open(switch, "w") as file:
                file.write(was)
    there = {(other.index, other.ip) for other in addresses()}
    for other in before:
        if (other.index, other.ip) not in there:
            put_back(RTM_NEWADDR, other.body)
    there_now = set(main_routes())
    for route in routes:
        if route not in there_now and attributes(route, 12).get(7) != ipaddress.ip_address(held.ip).packed:
            put_back(
                RTM_NEWROUTE, route[:8] + struct.pack("=I", struct.unpack_from("=I", route, 8)[0] & 4) + route[12:]
            )


def put_back(kind: int, body: bytes) -> None:
    """Give the kernel back what it had."""
    try:
        netlink(kind, NLM_ACK | NLM_CREATE | NLM_EXCL, body)
    except OSError:
        pass  # it came back by itself, or what it needs is gone with the address


def main_routes() -> List[bytes]:
    """IPv4 routes of the main table that somebody set, as the kernel says them."""
    found = netlink(RTM_GETROUTE, NLM_DUMP, struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0))
    return [body for body in found if body[4] == 254 and body[5] != 2]


def neighbour(ip: str) -> Optional[str]:
    """The MAC that the kernel has for an address."""
    packed = ipaddress.ip_address(ip).packed
    for body in netlink(RTM_GETNEIGH, NLM_DUMP, bytes(12)):
        more = attributes(body, 12)
        if more.get(1) == packed and len(more.get(2, b"")) == 6 and not struct.unpack_from("=H", body, 8)[0] & 0x21:
            return mac_text(more[2])
    return None


def mac_text(mac: bytes) -> str:
    """02:00:0a:4d:00:11."""
    return ":".join(f"{byte:02x}" for byte in mac)


# ---------------------------------------------------------------------------------------------------------------------
# frames: asking who has an address, and saying that we have it

BROADCAST = b"\xff" * 6
ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD


def arp(mac: bytes, operation: int, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    """A broadcast ARP frame (RFC 826)."""
    return (
        BROADCAST
        + mac
        + struct.pack("!HHHBBH", ETH_P_ARP, 1, 0x0800, 6, 4, operation)
        + mac
        + sender
        + target_mac
        + target
    )


def icmp6(mac: bytes, source: bytes, target: bytes, message: bytes) -> bytes:
    """A multicast frame of neighbour discovery (RFC 4861), its checksum filled in."""
    pseudo = source + target + struct.pack("!II", len(message), 58) + message
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    message = message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]
    head = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + target
    return b"\x33\x33" + target[-4:] + mac + struct.pack("!H", ETH_P_IPV6) + head + message


def announcements(mac: bytes, ip: str) -> List[bytes]:
    """Frames after which every neighbour sends to us.

    IPv4: both forms, since some listen to requests only and some to replies only (RFC 5227, 3). IPv6: an unsolicited
    advertisement with the override flag (RFC 4861, 7.2.6).
    """
    address = ipaddress.ip_address(ip)
    if address.version == 4:
        return [
            arp(mac, 1, address.packed, bytes(6), address.packed),
            arp(mac, 2, address.packed, BROADCAST, address.packed),
        ]
    advert = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + address.packed + b"\x02\x01" + mac
    return [icmp6(mac, address.packed, ipaddress.ip_address("ff02::1").packed, advert)]


def question(mac: bytes, ip: str) -> bytes:
    """A frame that asks who has an address, and teaches nobody anything: from 0.0.0.0 (RFC 5227, 2.1.1) or ::."""
    address = ipaddress.ip_address(ip)
    if address.version == 4:
        return arp(mac, 1, bytes(4), bytes(6), address.packed)
    group = ipaddress.ip_address("ff02::1:ff00:0").packed[:13] + address.packed[13:]
    return icmp6(mac, bytes(16), group, struct.pack("!BBHI", 135, 0, 0, 0) + address.packed)


def claims(frame: bytes, ip: str) -> Optional[bytes]:
    """The MAC that says in this frame that it has the address."""
    packed = ipaddress.ip_address(ip).packed
    if len(packed) == 4:
        return frame[22:28] if len(frame) >= 42 and frame[12:14] == b"\x08\x06" and frame[28:32] == packed else None
    is_advert = len(frame) >= 78 and frame[20] == 58 and frame[54] == 136
    return frame[6:12] if is_advert and frame[62:78] == packed else None


def packet_socket(name: str, ip: str) -> socket.socket:
    """A raw socket on an interface, for ARP or for IPv6."""
    kind = ETH_P_ARP if "." in ip else ETH_P_IPV6
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # deaf until bound: to change what it hears costs 13 ms
    sock.bind((name, kind))
    return sock


def who_answers(link: Link, ip: str, seconds: float, stop_at_first: bool = False) -> List[str]:
    """The MACs, our own left out, that claim an address within so many seconds; it is asked three times."""
    if not link.ethernet:
        return []
    own = {other.mac for other in links().values()}
    found: Set[bytes] = set()
    begin = time.monotonic()
    asks = [begin, begin + seconds / 3, begin + seconds * 2 / 3]
    sock = packet_socket(link.name, ip)
    _lingering.append(sock)
    while True:
        now = time.monotonic()
        if asks and now >= asks[0]:
            asks.pop(0)
            sock.send(question(link.mac, ip))
        if now >= begin + seconds or stop_at_first and found:
            return sorted(mac_text(mac) for mac in found)
        until = asks[0] if asks else begin + seconds
        if select.select([sock], [], [], max(0.0, until - now))[0]:
            mac = claims(sock.recv(2048), ip)
            if mac is not None and mac not in own:
                found.add(mac)


# The kernel takes 10 ms to close a packet socket; a worker leaves that to its end, after its answer.
_lingering: List[socket.socket] = []


def send_frames(link: Link, ip: str) -> None:
    """Say once that the address is here."""
    if link.ethernet:
        sock = _lingering[0] if _lingering else packet_socket(link.name, ip)
        _lingering[:] = [sock]
        for frame in announcements(link.mac, ip):
            sock.send(frame)


# ---------------------------------------------------------------------------------------------------------------------
# silence: parked addresses can't be heard, whoever puts them back on an interface

TABLE = "failover_park"


def silence_rules(ips: Iterable[str]) -> str:
    """The nftables rules that silence addresses, replacing all earlier ones in one transaction.

    What others say about the address still comes in, so that a parked server can reach the new holder.
    """
    v4 = sorted(ip for ip in ips if "." in ip)
    v6 = sorted(ip for ip in ips if ":" in ip)
    lines = [f"table {family} {TABLE}\ndelete table {family} {TABLE}" for family in ("arp", "inet")]
    hook = "type filter hook {} priority -300; policy accept;"
    if v4:
        lines += [
            f"table arp {TABLE} {{",
            "set v4 {{ type ipv4_addr; elements = {{ {} }}\n}}".format(", ".join(v4)),
            "chain in {",
            hook.format("input"),
            "arp operation request arp saddr ip != @v4 arp daddr ip @v4 drop\n}",
            "chain out {",
            hook.format("output"),
            "arp saddr ip @v4 drop\n}\n}",
        ]
    if v4 or v6:
        came, left = [], []
        lines.append(f"table inet {TABLE} {{")
        for name, kind, word, ips_of in (("v4", "ipv4_addr", "ip", v4), ("v6", "ipv6_addr", "ip6", v6)):
            if ips_of:
                lines.append("set {} {{ type {}; elements = {{ {} }}\n}}".format(name, kind, ", ".join(ips_of)))
                came.append(f"{word} daddr @{name} drop")
                left.append(f"{word} saddr @{name} drop")
        for ip in v6:
            # The target of a solicitation or advertisement: older nft has no name for it; by place (RFC 4861, 4.3).
            target = f"@th,64,128 0x{ipaddress.ip_address(ip).packed.hex()} drop"
            came.append("icmpv6 type nd-neighbor-solicit " + target)
            left.append("icmpv6 type nd-neighbor-advert " + target)
            left.append("ip6 saddr :: icmpv6 type nd-neighbor-solicit " + target)
        lines += (
            ["chain in {", hook.format("input")] + came + ["}", "chain out {", hook.format("output")] + left + ["}\n}"]
        )
    return "\n".join(lines) + "\n"


NETLINK_NETFILTER, NFT_GETSETELEM, NFPROTO_INET, NFPROTO_ARP = 12, 10 << 8 | 13, 1, 3


def set_elements(family: int, name: str) -> List[bytes]:
    """The elements of a set in our nftables table of a family; none when there is no such set or table."""
    body = (
        struct.pack("=BBH", family, 0, 0) + attribute(1, TABLE.encode() + b"\0") + attribute(2, name.encode() + b"\0")
    )
    try:
        answers = netlink(NFT_GETSETELEM, NLM_DUMP, body, NETLINK_NETFILTER)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Refused("no-nft", f"the kernel doesn't say what is parked: {plain(error)}") from None
    elements = [element for answer in answers for _, element in attribute_list(attributes(answer, 4).get(3, b""))]
    return [attributes(attributes(element, 0)[1], 0)[1] for element in elements]


def parked() -> List[str]:
    """The addresses that are silenced now, as the kernel has it; no tool and no disk needed to know.

    Raises:
        Refused: ``no-nft``: it can't be asked.
    """
    heard = set(set_elements(NFPROTO_ARP, "v4"))
    v4 = [socket.inet_ntop(socket.AF_INET, ip) for ip in set_elements(NFPROTO_INET, "v4") if ip in heard]
    return sorted(v4) + sorted(socket.inet_ntop(socket.AF_INET6, ip) for ip in set_elements(NFPROTO_INET, "v6"))


def set_parked(work: Work, ips: Iterable[str]) -> None:
    """Silence exactly these addresses."""
    try:
        code, said = work.run(["nft", "-f", "-"], silence_rules(set(ips)).encode())
    except OSError as error:
        code, said = 1, plain(error)
    if code:
        raise Refused("not-silenced", f"nft refused: {said.strip()[:500]}")


# ---------------------------------------------------------------------------------------------------------------------
# address

PROBE_SECONDS = 0.06


def address_state(entry: Answer) -> Answer:
    """How an address stands on this server."""
    there = links()
    names = {link.index: link for link in there.values()}
    found = [held for held in addresses() if held.ip == entry["ip"]]
    state: Answer = {"held": bool(found), "interface": entry["interface"], "prefix": None, "mac": None}
    if found:
        state["interface"], state["prefix"] = names[found[0].index].name, found[0].prefix
    if state["interface"] in there:
        state["mac"] = mac_text(there[state["interface"]].mac) or None
    state["tentative"] = any(held.flags & IFA_F_TENTATIVE and not held.flags & IFA_F_DADFAILED for held in found)
    state["dadfailed"] = any(held.flags & IFA_F_DADFAILED for held in found)
    try:
        state["parked"] = entry["ip"] in parked()
    except Refused as error:
        state["parked"], state["problem"] = False, str(error)
    return state


def ask_address(work: Work, args: Args) -> Answer:
    """Whether an address is here; with ``probe``, also who else answers for it."""
    entry = work.policy.address(args["ip"])
    state = address_state(entry)
    if args.get("probe"):
        link = links().get(entry["interface"])
        if link is None or not link.carrier:
            raise Refused("no-carrier", "nobody can be asked: {} has no link".format(entry["interface"]))
        state["answered_by"] = who_answers(link, entry["ip"], args.get("probe_seconds", PROBE_SECONDS))
    return state


def change_address_to(work: Work, args: Args) -> Answer:
    """Give this server an address, or take it away."""
    entry = work.policy.address(args["ip"])
    if args["interface"] != entry["interface"]:
        raise not_in_policy("interface", args["interface"], [entry["interface"]])
    prefix = args.get("prefix")
    if prefix is not None and entry["prefix"] is not None and prefix != entry["prefix"]:
        raise not_in_policy("prefix", str(prefix), [entry["prefix"]])
    if args["want"] == "released":
        return release(work, entry)
    return hold(work, entry, prefix if prefix is not None else entry["prefix"])


def release(work: Work, entry: Answer) -> Answer:
    """Silence an address, then remove it: whatever puts it back later isn't heard."""
    work.begin()
    problem = None
    try:
        try:
            others = parked()
        except Refused:
            others = []
        if entry["ip"] not in others:
            set_parked(work, others + [entry["ip"]])
    except Refused as error:
        problem = error  # removing it matters more
    try:
        os.unlink(announcer_file(work.places, entry["ip"]))
    except OSError:
        pass  # there is none; or it stops when it finds the address gone
    names = {link.index: link.name for link in links().values()}
    for held in addresses():
        if held.ip == entry["ip"]:
            remove_address(held, names[held.index])
    state = address_state(entry)
    if state["held"]:
        raise Failed("still-held", "{} is still on {}".format(entry["ip"], state["interface"]), state)
    if not state["parked"]:
        raise Failed("not-silenced", "{} was removed, but nothing silences it: {}".format(entry["ip"], problem), state)
    return state


def hold(work: Work, entry: Answer, prefix: Optional[int]) -> Answer:
    """Put an address on its interface and tell the neighbours, unless anybody else answers for it."""
    ip, name = entry["ip"], entry["interface"]
    link = links().get(name)
    if link is None:
        raise Refused("no-interface", "there is no interface {}; there are {}".format(name, ", ".join(sorted(links()))))
    if not link.flags & 1:
        raise Refused("interface-down", f"{name} is down")
    if not link.carrier:
        raise Refused("no-carrier", f"{name} has no link")
    everywhere = addresses()
    there = [held for held in everywhere if held.ip == ip]
    if any(held.index != link.index for held in there):
        other = next(held for held in there if held.index != link.index)
        elsewhere = [one.name for one in links().values() if one.index == other.index]
        raise Refused("wrong-interface", "{} is on {} already, not on {}".format(ip, "".join(elsewhere), name))
    if prefix is None:
        prefix = network_of(ip, [held for held in everywhere if held.index == link.index and held.ip != ip], name)
    silenced = parked()
    good = bool(there) and there[0].prefix == prefix and not there[0].flags & (IFA_F_DADFAILED | IFA_F_TENTATIVE)
    if not good or ip in silenced:
        others = who_answers(link, ip, PROBE_SECONDS, stop_at_first=True)
        if others:
            sentence = "{} answers for {} already".format(" and ".join(others), ip)
            raise Refused("address-taken", sentence, dict(address_state(entry), answered_by=others))
        work.begin()
        if there and not good:
            remove_address(there[0], name)
        if ip in silenced:
            set_parked(work, set(silenced) - {ip})
        try:
            work.in_time()
            if not good:
                change_address(RTM_NEWADDR, link.index, ip, prefix)
        except (OSError, Refused) as error:
            set_parked(work, set(silenced) | {ip})
            raise Failed("not-added", f"{ip}/{prefix} on {name}: {plain(error)}", address_state(entry)) from None
    work.begin()
    send_frames(link, ip)
    state = address_state(entry)
    if not state["held"] or state["dadfailed"]:
        raise Failed("not-held", f"{ip} was added to {name} and isn't usable there", state)
    start_announcer(work.places, ip, name)
    return state


def network_of(ip: str, others: List[Held], name: str) -> int:
    """The prefix length of the interface's network that an address belongs to."""
    networks = [ipaddress.ip_interface(f"{held.ip}/{held.prefix}").network for held in others]
    fitting = [network.prefixlen for network in networks if ipaddress.ip_address(ip) in network]
    if not fitting:
        known = ", ".join(str(network) for network in networks) or "none"
        raise Refused("no-network", f"{ip} isn't in a network of {name} ({known}), and no prefix is given")
    return max(fitting)


def announcer_file(places: Places, ip: str) -> str:
    """Names the one announcer of an address; without it, or with another name in it, an announcer ends."""
    return f"{places.run}/announce-{ip}"


ANNOUNCE_AT_SECONDS = [1, 2, 5, 10] + list(range(60, 601, 60))


def detach() -> None:
    """Hold nothing of the session that one was started in."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, 4096)
    os.chdir("/")


def start_announcer(places: Places, ip: str, interface: str) -> None:
    """Go on announcing, in a process that outlives this session and holds nothing of it."""
    name = os.urandom(8).hex()
    try:
        put_file(announcer_file(places, ip), name.encode(), 0o600, durable=False)
    except OSError:
        name = "-"
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    try:
        detach()
        if os.fork():
            os._exit(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        argv = [sys.executable, "-IS", PROGRAM] + (["--root", places.root] if places.root else [])
        argv += ["announce", ip, interface, name]
        if not places.root and os.path.isdir("/run/systemd/system"):
            # A session's processes may be killed with it (KillUserProcesses=yes); a unit of its own isn't.
            time.sleep(0.3)
            unit = "--unit=failover-announce-" + name
            if subprocess.call(["systemd-run", "--quiet", "--collect", unit] + argv, env=ENVIRONMENT) == 0:
                os._exit(0)
        os.execve(sys.executable, argv, ENVIRONMENT)  # noqa: S606 - without a shell, on purpose
    finally:
        os._exit(1)


def announce(places: Places, ip: str, interface: str, name: str) -> int:
    """Repeat the announcement at 1, 2, 5 and 10 s, then every minute for ten, while the address is here and heard."""
    begin = time.monotonic()
    for at in ANNOUNCE_AT_SECONDS:
        time.sleep(max(0.0, begin + at - time.monotonic()))
        if name != "-":
            try:
                with open(announcer_file(places, ip)) as file:
                    if file.read(100) != name:
                        return 0
            except OSError:
                return 0
        link = links().get(interface)
        if link is None or not any(held.ip == ip and held.index == link.index for held in addresses()):
            return 0
        if ip in parked():
            return 0
        try:
            send_frames(link, ip)
        except OSError:
            _lingering.clear()  # no link just now, or another card of the same name; the next one counts
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# facts

SYSTEMD = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "StateChangeTimestampMonotonic",
    "MainPID",
    "Result",
    "Job",
    "FragmentPath",
    "DropInPaths",
    "ExecStart",
)


def units_state(work: Work, units: List[str]) -> Dict[str, Answer]:
    """What systemd says of units.

    Raises:
        Refused: ``no-systemd``.
    """
    if not units:
        return {}
    try:
        code, said = work.run(["systemctl", "show", "--no-pager", "-p", ",".join(SYSTEMD), "--"] + units)
    except OSError as error:
        code, said = 1, plain(error)
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in said.split("\n\n")]
    if code or len(blocks) != len(units):
        raise Refused(
            "no-systemd", "systemctl doesn't say how {} stand: {}".format(", ".join(units), said.strip()[:300])
        )
    found = {}
    for unit, block in zip(units, blocks):  # noqa: B905 - as many, see above; strict= came with 3.10
        changed = int(block.get("StateChangeTimestampMonotonic") or 0) / 1e6
        found[unit] = {
            "load": block.get("LoadState"),
            "active": block.get("ActiveState"),
            "sub": block.get("SubState"),
            "enabled": block.get("UnitFileState") or None,
            "since": time.time() - time.monotonic() + changed if changed else None,
            "main_pid": int(block.get("MainPID") or 0) or None,
            "result": block.get("Result"),
            "job": block.get("Job") or None,
            "fragment": block.get("FragmentPath") or None,
            "drop_ins": (block.get("DropInPaths") or "").split(),
            "exec": block.get("ExecStart") or None,
        }
    return found


def fact_services(work: Work) -> Answer:
    """The policy's units; ``parked`` is null for those that more than one server may run."""
    from . import parking

    try:
        found = units_state(work, sorted(work.policy.units))
        alone = parking.parking_units(work.policy)
        for unit, state in found.items():
            state["parked"] = parking.parked(work.places, unit, state) if parking.full(unit) in alone else None
        return found
    except Refused as error:
        return {
            unit: {
                "load": "unknown",
                "active": "unknown",
                "sub": "unknown",
                "enabled": None,
                "since": None,
                "problem": str(error),
            }
            for unit in work.policy.units
        }


def fact_addresses(_: Work) -> List[Answer]:
    """Every address, loopback left out."""
    names = {link.index: link for link in links().values()}
    return [
        {
            "interface": names[held.index].name,
            "ip": held.ip,
            "prefix": held.prefix,
            "mac": mac_text(names[held.index].mac),
            "tentative": bool(held.flags & IFA_F_TENTATIVE),
            "dadfailed": bool(held.flags & IFA_F_DADFAILED),
        }
        for held in addresses()
        if held.index in names and not names[held.index].flags & 8
    ]


def fact_parked(_: Work) -> List[str]:
    """Silenced addresses."""
    try:
        return parked()
    except Refused:
        return []  # what can't be shown to be silenced isn't


def fact_interfaces(_: Work) -> List[Answer]:
    """Every network interface."""
    return [
        {"name": link.name, "mac": mac_text(link.mac), "up": bool(link.flags & 1), "carrier": link.carrier}
        for link in links().values()
    ]


def fact_routes(_: Work) -> List[Answer]:
    """Routes of the main tables, two hundred at most."""
    names = {link.index: link.name for link in links().values()}
    found: List[Any] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for body in netlink(RTM_GETROUTE, NLM_DUMP, struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)):
            more = attributes(body, 12)
            if body[0] != family or body[4] != 254 or 4 not in more or body[7] != 1:
                continue
            where = (
                socket.inet_ntop(family, more[1]) if 1 in more else ("::" if family == socket.AF_INET6 else "0.0.0.0")  # noqa: S104 - a route, no listener
            )
            via = socket.inet_ntop(family, more[5]) if 5 in more else None
            interface = names.get(struct.unpack("=i", more[4])[0])
            found.append({"to": f"{where}/{body[1]}", "via": via, "interface": interface})
    return found[:200]


def fact_disks(work: Work) -> Answer:
    """Space and inodes where anything of ours is written."""
    found = {}
    for path in ["/", work.places.state, work.places.run] + sorted(set(work.policy.paths) | work.policy.serve):
        there = path
        while not os.path.exists(there):
            there = os.path.dirname(there)
        disk = os.statvfs(there)
        found[path] = {
            "size_bytes": disk.f_blocks * disk.f_frsize,
            "free_bytes": disk.f_bavail * disk.f_frsize,
            "free_inodes": disk.f_favail if disk.f_files else None,
            "read_only": bool(disk.f_flag & os.ST_RDONLY),
        }
    return found


def fact_memory(_: Work) -> Answer:
    """Memory, with what the kernel could free."""
    with open("/proc/meminfo") as file:
        lines = dict(line.split(":") for line in file)
    available = lines.get("MemAvailable", lines["MemFree"])
    return {"total_bytes": int(lines["MemTotal"].split()[0]) << 10, "available_bytes": int(available.split()[0]) << 10}


def fact_versions(work: Work) -> Answer:
    """Versions of what the helper works with."""
    found = {"kernel": os.uname().release, "python": sys.version.split()[0]}
    for name, argv in (
        ("rsync", ["rsync", "--version"]),
        ("nft", ["nft", "--version"]),
        ("systemd", ["systemctl", "--version"]),
    ):
        try:
            said = re.search(r"\d+(\.\d+)*", work.run(argv)[1])
        except OSError:
            said = None
        found[name] = said.group() if said else ""
    return found


SECTIONS: Dict[str, Callable[[Work], Any]] = {
    "addresses": fact_addresses,
    "parked": fact_parked,
    "routes": fact_routes,
    "interfaces": fact_interfaces,
    "services": fact_services,
    "disks": fact_disks,
    "load": lambda _: list(os.getloadavg()),
    "cpus": lambda _: os.cpu_count(),
    "memory": fact_memory,
    "versions": fact_versions,
    "token": lambda work: Gate(work.places).newest(),
    "helper": lambda work: {"version": VERSION, "sha256": own_sha256(), "policy_sha256": work.policy.sha256},
}


def pulse() -> Answer:
    """What every answer about facts has."""
    return {"hostname": socket.gethostname(), "boot_id": boot_id(), "boottime": boottime(), "time": time.time()}


def ask_facts(work: Work, args: Args) -> Answer:
    """How this server is; ``sections`` limits it to what is asked for."""
    sections = args.get("sections", list(SECTIONS))
    unknown = [
        name for name in sections if name not in SECTIONS and name not in ("hostname", "boot_id", "boottime", "time")
    ]
    if unknown:
        raise Refused("bad-request", "there is no section {!r}; there are {}".format(unknown[0], ", ".join(SECTIONS)))
    answer = {name: SECTIONS[name](work) for name in sections if name in SECTIONS}
    answer.update(pulse())
    return answer


def own_sha256() -> str:
    """Of this file as it lies there."""
    with open(PROGRAM, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# see: what can be reached from here

MAX_BODY_BYTES = 1 << 20
SHOWN_HEADERS = ("server", "date", "content-type", "content-length", "last-modified", "etag", "location", "age", "via")


class TooLong(Exception):
    """A look took longer than it may."""


def ask_see(work: Work, args: Args) -> Answer:
    """Whether something answers, as seen from this server."""
    if ("url" in args) == ("ip" in args):
        raise Refused("bad-request", "see takes a url or an ip")
    if "url" in args:
        match = re.match(r"(https?)://(\[[0-9a-fA-F:.]+\]|[0-9.]+)(?::(\d{1,5}))?(/[\x21-\x7e]*)?\Z", args["url"])
        if not match:
            raise Refused(
                "bad-request", "{!r} is no http URL with an IP address for its host".format(args["url"][:200])
            )
        ip = work.policy.sees(match.group(2).strip("[]"))
    else:
        ip = work.policy.sees(args["ip"])
    began = time.monotonic()
    seconds = args.get("timeout_seconds", 2.0)

    def too_long(*_: Any) -> None:
        raise TooLong

    answer: Answer = {"seen": False, "reason": "", "mac": None}
    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, work.left()))
    try:
        if "url" in args:
            answer.update(see_url(ip, match, args, seconds))
        elif "port" in args:
            socket.create_connection((ip, args["port"]), seconds).close()
            answer.update(seen=True, reason="connected")
        elif args.get("arp"):
            answer.update(see_neighbour(ip, seconds))
        else:
            answer.update(see_ping(ip))
    except TooLong:
        answer["reason"] = f"no whole answer within {seconds:g} s"
    except Exception as error:  # noqa: BLE001 - http.client alone raises a dozen kinds; each means that it isn't seen
        answer["reason"] = plain(error)[:300]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    answer["mac"] = answer["mac"] or neighbour(ip)
    answer["seconds"] = time.monotonic() - began
    return answer


def see_url(ip: str, match: Any, args: Args, seconds: float) -> Answer:
    """One GET; certificates aren't judged here, that is the business of a probe."""
    import http.client
    import ssl

    scheme, _, port, path = match.groups()
    host = args.get("host") or match.group(2)
    connection = http.client.HTTPConnection(ip, int(port or (443 if scheme == "https" else 80)), timeout=seconds)
    connection.connect()
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection.sock = context.wrap_socket(connection.sock, server_hostname=host.strip("[]"))
    connection.request(
        "GET", path or "/", headers={"Host": host, "User-Agent": "failover/" + VERSION, "Connection": "close"}
    )
    response = connection.getresponse()
    body = response.read(MAX_BODY_BYTES + 1)
    headers = [(name.lower(), value[:200]) for name, value in response.getheaders()]
    answer: Answer = {
        "seen": True,
        "reason": f"{response.status} {response.reason}"[:200],
        "status": response.status,
        "headers": {name: value for name, value in headers if name in SHOWN_HEADERS or name.startswith("x-")},
        "body_sha256": hashlib.sha256(body[:MAX_BODY_BYTES]).hexdigest(),
        "body_bytes": min(len(body), MAX_BODY_BYTES),
        "truncated": len(body) > MAX_BODY_BYTES,
    }
    if "contains" in args:
        answer["contains"] = args["contains"].encode() in body[:MAX_BODY_BYTES]
        if not answer["contains"]:
            answer.update(
                seen=False, reason="{}, and the page doesn't contain {!r}".format(answer["reason"], args["contains"])
            )
    return answer


def see_neighbour(ip: str, seconds: float) -> Answer:
    """Ask the link who has the address."""
    address = ipaddress.ip_address(ip)
    by_index = {link.index: link for link in links().values()}
    for held in addresses():
        if address in ipaddress.ip_interface(f"{held.ip}/{held.prefix}").network and by_index[held.index].ethernet:
            macs = who_answers(by_index[held.index], ip, min(seconds * 0.8, 0.2))
            return {
                "seen": bool(macs),
                "reason": "answered by " + " and ".join(macs) if macs else "nobody answers",
                "macs": macs,
                "mac": macs[0] if macs else None,
            }
    return {"reason": f"{ip} is in no network of this server"}


def see_ping(ip: str) -> Answer:
    """Three echo requests (RFC 792, RFC 4443), until one is answered or the time is over."""
    v6 = ":" in ip
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 58 if v6 else 1) as sock:
        sock.connect((ip, 0))
        mark = os.urandom(8)
        for number in range(3):
            packet = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, os.getpid() & 0xFFFF, number) + mark
            total = sum(struct.unpack("!8H", packet))
            total = (total >> 16) + (total & 0xFFFF)
            sock.send(packet[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + packet[4:])
            again = time.monotonic() + 0.3
            while number == 2 or time.monotonic() < again:
                if select.select([sock], [], [], 5 if number == 2 else max(0.0, again - time.monotonic()))[0]:
                    data = sock.recv(2048)
                    data = data if v6 else data[(data[0] & 15) * 4 :]
                    if data[:1] == (b"\x81" if v6 else b"\0") and data[8:16] == mark:
                        return {"seen": True, "reason": "answers ping"}
    return {"reason": "no answer"}


# ---------------------------------------------------------------------------------------------------------------------
# command


def change_command(work: Work, args: Args) -> Answer:
    """Run a command that the policy names, as it stands there."""
    argv = work.policy.commands.get(args["name"])
    if argv is None:
        raise not_in_policy("command", args["name"], work.policy.commands)
    work.begin()
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what it detaches stays ours, so that the deadline ends it too
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd="/"
        )
    except OSError as error:
        raise Failed("command-failed", f"{argv[0]} can't be run: {plain(error)}") from None
    assert process.stdout is not None  # noqa: S101 - it was asked for above
    pipe = process.stdout.fileno()
    output, total = b"", 0
    while True:
        # Its end counts, not that of its output: what it leaves running may hold the pipe for ever.
        ended = process.poll() is not None
        while select.select([pipe], [], [], 0 if ended else 0.02)[0]:
            data = os.read(pipe, 65536)
            if not data:
                break
            total += len(data)
            output += data[: work.policy.max_output_bytes - len(output)]
            if ended and total > 64 * work.policy.max_output_bytes:
                break
        if ended:
            break
        time.sleep(0.001)
    result = {
        "exit": process.returncode,
        "output": output.decode("utf-8", "replace"),
        "truncated": total > len(output),
        "seconds": time.monotonic() - began,
    }
    if process.returncode:
        raise Failed("command-failed", "{} ended with {}".format(args["name"], process.returncode), result)
    return result


# ---------------------------------------------------------------------------------------------------------------------
# content: trees, and what is in them

MANIFEST_HEAD = b"failover manifest 1"
KEPT_MANIFESTS = 16
MAX_ENTRIES = 5000000
MAX_SKIPPED = 100
RACY_SECONDS = 2.0
"""A file changed this shortly before it was read may change again with the same times: it isn't remembered."""

KIND = {stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
FILE, FOLDER, SYMLINK = "f", "d", "l"

Entry = NamedTuple("Entry", [("kind", str), ("mode", int), ("size", int), ("mark", bytes)])
"""One path of a manifest. ``mark`` is a file's SHA-256, a symlink's target."""


class Tree:
    """A folder and all under it, reached by descriptors: no symlink on the way is followed, whoever puts one there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._open: "collections.OrderedDict[bytes, int]" = collections.OrderedDict()

    def folder(self, path: bytes) -> int:
        """A descriptor of a folder in the tree, good until two hundred others were asked for."""
        if not path:
            return self.top
        fd = self._open.get(path)
        if fd is None:
            above, _, name = path.rpartition(b"/")
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.folder(above))
            self._open[path] = fd
            if len(self._open) > 200:
                os.close(self._open.popitem(last=False)[1])
        return fd

    def forget(self) -> None:
        """Close the folders kept open; to be done when folders were removed."""
        while self._open:
            os.close(self._open.popitem()[1])

    def close(self) -> None:
        """Let go of everything."""
        self.forget()
        os.close(self.top)

    def place(self, path: bytes) -> Tuple[int, bytes]:
        """The folder of a path, and its name in there."""
        above, _, name = path.rpartition(b"/")
        return self.folder(above), name

    def walk(self) -> Iterable[Tuple[bytes, os.stat_result]]:
        """Every path with what it is, parents before children; not the top, nor what vanishes meanwhile."""
        left = [b""]
        while left:
            above = left.pop()
            try:
                fd = self.folder(above)
                names = os.listdir(b"/proc/self/fd/%d" % fd)  # by this name it gives bytes
            except OSError:
                continue  # it vanished, or a symlink took its place
            start = above + b"/" if above else b""
            for name in names:
                try:
                    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                path = start + name
                yield path, info
                if stat.S_ISDIR(info.st_mode):
                    left.append(path)

    def read(self, path: bytes) -> int:
        """A descriptor to read a regular file from; never waits for the writer of a fifo."""
        fd, name = self.place(path)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)

    def stat(self, path: bytes) -> Optional[os.stat_result]:
        """What is there, if anything."""
        try:
            fd, name = self.place(path)
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            return None

    def remove(self, path: bytes, is_folder: bool) -> None:
        """Remove one file, or one folder that is empty."""
        fd, name = self.place(path)
        if is_folder:
            os.rmdir(name, dir_fd=fd)
        else:
            os.unlink(name, dir_fd=fd)

    def clear(self) -> None:
        """Remove all that is in it."""
        found = [(path, stat.S_ISDIR(info.st_mode)) for path, info in self.walk()]
        for path, is_folder in reversed(found):
            self.remove(path, is_folder)
        self.forget()


def remove_tree(path: str) -> None:
    """Remove a folder with everything in it, if it is there."""
    try:
        tree = Tree(path)
    except FileNotFoundError:
        return
    tree.clear()
    tree.close()
    os.rmdir(path)


def sha256_of(fd: int, size: int) -> bytes:
    """Of what can be read from a descriptor, in hexadecimal; ``size`` is the file's as it was just now."""
    data = os.read(fd, 1 << 18)
    found = hashlib.sha256(data)
    if len(data) == size < 1 << 18:
        return found.hexdigest().encode()  # a small file, read whole: no second read to learn that
    while data:
        data = os.read(fd, 1 << 18)
        found.update(data)
    return found.hexdigest().encode()


class Inodes:
    """What files were found to contain, by inode, size and both times: what has them unchanged isn't read again.

    ctime can't be set back by whoever may write to a file, so that tampering with mtime set back is seen.
    """

    FORM = struct.Struct("<QQQQQ32s")

    def __init__(self, path: str) -> None:
        self._path = path
        self.known: Dict[Tuple[int, int], Tuple[int, int, int, bytes]] = {}
        self._changed = False
        try:
            with open(path, "rb") as file:
                data = file.read()
            for device, inode, size, mtime, ctime, mark in self.FORM.iter_unpack(data):
                self.known[device, inode] = (size, mtime, ctime, hexlify(mark))
        except (OSError, struct.error):
            self.known = {}  # a cache: without it everything is read once

    def get(self, info: os.stat_result) -> Optional[bytes]:
        """The SHA-256 of a file, if it is known."""
        known = self.known.get((info.st_dev, info.st_ino))
        if known is None or known[:3] != (info.st_size, info.st_mtime_ns, info.st_ctime_ns):
            return None
        return known[3]

    def put(self, info: os.stat_result, mark: bytes) -> None:
        """Remember what a file contains."""
        self.known[info.st_dev, info.st_ino] = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, mark)
        self._changed = True

    def save(self, live: Optional[Set[Tuple[int, int]]] = None) -> None:
        """Write it down if there is room; with ``live`` all others are forgotten when they are the more."""
        if live is not None and len(self.known) > 2 * len(live) + 1000:
            self.known = {key: value for key, value in self.known.items() if key in live}
            self._changed = True
        if self._changed:
            pack = self.FORM.pack
            data = b"".join([pack(*key, *value[:3], unhexlify(value[3])) for key, value in self.known.items()])
            try:
                os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
                put_file(self._path, data, 0o600, durable=False)
            except OSError:
                return  # everything is read again next time
            self._changed = False


class Manifest:
    """What a tree contains, in one canonical form: the same content gives the same bytes on every server.

    One record a path, ``KIND MODE SIZE SHA256 PATH`` and for a symlink ``l 777 0 - PATH//TARGET``, sorted by their
    bytes and each ended by NUL. Two trees are compared as sets of records, which takes milliseconds.
    """

    def __init__(self, records: Iterable[bytes]) -> None:
        self.records = frozenset(records)
        sizes = [int(record.split(b" ", 3)[2]) for record in self.records if record[:1] == b"f"]
        self.files, self.bytes = len(sizes), sum(sizes)

    @property
    def top(self) -> List[bytes]:
        """The record of the tree's own folder: one, in a manifest that was checked."""
        return [record for record in self.records if record[-2:] == b" ." and record[:1] == b"d"]

    def text(self) -> bytes:
        """The canonical form."""
        return b"\0".join([MANIFEST_HEAD] + sorted(self.records) + [b""])

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Read what :meth:`text` wrote.

        Raises:
            ValueError: it isn't that.
        """
        head, *records = text.split(b"\0")
        if head != MANIFEST_HEAD or not records or records.pop():
            raise ValueError("it is no manifest of this version, or not whole")
        return cls(records)

    def check(self, known: Iterable[bytes]) -> None:
        """Refuse what another server must not make us write; ``known`` records were found on a disk of ours.

        Raises:
            ValueError: a path or symlink that leaves the tree, a path twice or in no folder, a strange mode.
        """
        for record in self.records.difference(known):
            if not RECORD.match(record):
                raise ValueError(f"{record[:200]!r} is no record")
            path, entry = entry_of(record)
            names = path.split(b"/")
            if path != b"." and (b"" in names or b"." in names or b".." in names or len(path) > 4096):
                raise ValueError(f"{path!r} leaves the tree")
            if entry.kind == SYMLINK and not stays_inside(path, entry.mark):
                raise ValueError(f"the symlink {path!r} leaves the tree: {entry.mark!r}")
        paths = [record.split(b" ", 4)[4].partition(b"//")[0] for record in self.records]
        folders = {record.split(b" ", 4)[4] for record in self.records if record[:1] == b"d"}
        if len(set(paths)) != len(paths) or b"." not in folders:
            raise ValueError("it has a path twice, or no top")
        for above in {path.rpartition(b"/")[0] or b"." for path in paths} - folders:
            raise ValueError(f"{above!r} is no folder, and yet something lies in it")


ESCAPED = re.compile(rb"\\#(\d{3})")
"""How rsync writes a byte of a name that isn't for terminals."""


def unescaped(match: Any) -> bytes:
    """The byte itself."""
    return bytes([int(match.group(1), 8)])


RECORD = re.compile(rb"(?:f [0-7]{1,3} \d{1,18} [0-9a-f]{64}|d [0-7]{1,3} 0 -|l 777 0 -) (?s:.+)\Z")


def entry_of(record: bytes) -> Tuple[bytes, Entry]:
    """A record taken apart."""
    kind, mode, size, mark, path = record.split(b" ", 4)
    if kind == b"l":
        path, _, mark = path.partition(b"//")
    return path, Entry(kind.decode(), int(mode, 8), int(size), mark)


def stays_inside(path: bytes, target: bytes) -> bool:
    """Whether a symlink can't lead out of its tree: relative, and going up only at its start, no further than the top.

    Its own folders are real ones, and every other symlink of the tree obeys the same rule: the way down stays inside.
    """
    names = target.split(b"/")
    ups = 0
    while ups < len(names) and names[ups] == b"..":
        ups += 1
    return bool(target) and names[0] != b"" and b".." not in names[ups:] and ups <= path.count(b"/")


class Listing:
    """A tree as it is now, as the records of a manifest, and what of it isn't content.

    With ``owner`` it is a tree that we made: whatever isn't exactly as we make things has no record.
    """

    def __init__(self, work: Work, tree: Tree, inodes: Inodes, owner: Optional[Tuple[int, int]] = None) -> None:
        self.skipped: List[Answer] = []
        self.skipped_count = 0
        self.newest_mtime = 0.0
        self.live: Set[Tuple[int, int]] = set()
        self.paths: Dict[bytes, Tuple[Optional[bytes], bool]] = {}
        """Every path with its record, if it has one, and whether it is a folder; parents before children."""
        settled = (time.time() - RACY_SECONDS) * 1e9
        special = 0o7777 if owner is not None else 0o777
        unread: List[Tuple[bytes, os.stat_result]] = []
        records = [b"d %o 0 - ." % (os.fstat(tree.top).st_mode & 0o777)]
        paths, known, live = self.paths, inodes.known, self.live
        for path, info in tree.walk():
            mode = info.st_mode
            kind = mode & 0o170000
            record: Optional[bytes] = None
            if owner is not None and (info.st_uid, info.st_gid) != owner:
                pass
            elif kind == stat.S_IFREG:
                if info.st_mtime > self.newest_mtime:
                    self.newest_mtime = info.st_mtime
                if mode & 0o7000:
                    self._skip(path, "its setuid, setgid or sticky bit isn't copied")
                key = (info.st_dev, info.st_ino)
                live.add(key)
                found = known.get(key)
                if found is None or found[:3] != (info.st_size, info.st_mtime_ns, info.st_ctime_ns):
                    unread.append((path, info))
                else:
                    record = b"f %o %d %s %s" % (mode & special, info.st_size, found[3], path)
            elif kind == stat.S_IFDIR:
                record = b"d %o 0 - %s" % (mode & special, path)
            elif kind == stat.S_IFLNK:
                fd, name = tree.place(path)
                target = os.readlink(name, dir_fd=fd)
                if stays_inside(path, target):
                    record = b"l 777 0 - %s//%s" % (path, target)
                else:
                    self._skip(path, f"the symlink leaves the tree: {shown(target)}")
            else:
                self._skip(path, f"it is {KIND.get(kind, 'nothing to copy')}")
            paths[path] = (record, kind == stat.S_IFDIR)
            if len(paths) > MAX_ENTRIES:
                raise Refused("too-many-files", f"{tree.path} has more than {MAX_ENTRIES} entries")
        self.read = len(unread)
        for done, (path, info, mark) in enumerate(hashed(tree, unread), 1):
            if mark is None:
                continue
            paths[path] = (b"f %o %d %s %s" % (info.st_mode & special, info.st_size, mark, path), False)
            if owner is not None or max(info.st_mtime_ns, info.st_ctime_ns) < settled:
                inodes.put(info, mark)
            work.progress(phase="reading", files=done, of=len(unread))
        records += [record for record, _ in paths.values() if record is not None]
        self.manifest = Manifest(records)

    def _skip(self, path: bytes, why: str) -> None:
        self.skipped_count += 1
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append({"path": shown(path), "why": why})

    @property
    def digest(self) -> str:
        """Of the manifest."""
        return hashlib.sha256(self.manifest.text()).hexdigest()


def hashed(
    tree: Tree, files: List[Tuple[bytes, os.stat_result]]
) -> Iterable[Tuple[bytes, os.stat_result, Optional[bytes]]]:
    """Each file with what it was when it was read, and its SHA-256; None when it vanished or isn't a file any more."""
    for path, _ in files:
        for attempt in range(3):
            try:
                fd = tree.read(path)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EPERM):
                    raise Refused("unreadable", f"{shown(path)} can't be read: {plain(error)}") from None
                yield path, os.fstat(tree.top), None
                break
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                os.close(fd)
                yield path, before, None
                break
            try:
                mark = sha256_of(fd, before.st_size)
                after = os.fstat(fd)
            finally:
                os.close(fd)
            if attempt == 2 or (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                yield path, after, mark  # written to all the while: the copy's own check will say so
                break


def shown(path: bytes) -> str:
    """A path for people: control characters and what isn't UTF-8 escaped."""
    return json.dumps(path.decode("utf-8", "backslashreplace"), ensure_ascii=False)[1:-1][:500]


def size_text(size: float) -> str:
    """4.2 MB."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def utc_text(moment: float) -> str:
    """2026-11-24T02:00:00.123+00:00."""
    return "{}.{:03d}+00:00".format(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)), int(moment % 1 * 1000))


def name_of(path: str) -> str:
    """What a content path is called in our own folders and on the way between servers, where nothing needs quoting."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def inodes_of(work: Work, path: str) -> Inodes:
    """What is known of the files of a content path, its releases among them."""
    return Inodes(f"{work.places.state}/inodes/{name_of(path)}")


def ask_manifest(work: Work, args: Args) -> Answer:
    """What a path contains now: its digest, which is equal on two servers exactly when the content is."""
    began = time.monotonic()
    path = args["path"]
    if path not in work.policy.paths and path not in work.policy.serve:
        raise not_in_policy("path", path, set(work.policy.paths) | work.policy.serve)
    try:
        tree = Tree(os.path.realpath(path))
    except OSError as error:
        raise Refused("no-content", f"{path}: {plain(error)}") from None
    inodes = inodes_of(work, path)
    listing = Listing(work, tree, inodes)
    text = listing.manifest.text()
    answer: Answer = {
        "digest": hashlib.sha256(text).hexdigest(),
        "files": listing.manifest.files,
        "bytes": listing.manifest.bytes,
        "newest_mtime": listing.newest_mtime,
        "skipped": listing.skipped,
        "skipped_count": listing.skipped_count,
        "stored": True,
    }
    try:
        inodes.save(listing.live)
        store_manifest(work, answer["digest"], text)
    except OSError as error:
        answer.update(stored=False, problem=plain(error))  # it can be compared, and not be pulled
    answer["seconds"] = time.monotonic() - began
    return answer


def store_manifest(work: Work, name: str, text: bytes) -> None:
    """Keep a manifest where others may pull it, with the fifteen before it."""
    folder = work.places.manifests
    os.makedirs(folder, mode=0o755, exist_ok=True)
    path = os.path.join(folder, name)
    if os.path.exists(path):
        os.utime(path)
        return
    put_file(path, text, 0o644, durable=False)
    user = content_user(work.policy)
    if user is not None:
        os.chown(path, 0, user[1])
        os.chmod(path, 0o640)
    files = sorted(os.scandir(folder), key=lambda entry: entry.stat().st_mtime, reverse=True)
    for old in files[KEPT_MANIFESTS:]:
        os.unlink(old.path)


def content_user(policy: Policy) -> Optional[Tuple[int, int]]:
    """Uid and gid of whom content is pulled as."""
    if policy.content_user is None:
        return None
    import pwd

    try:
        found = pwd.getpwnam(policy.content_user)
    except KeyError:
        raise Refused("no-content-user", f"there is no user {policy.content_user} on this server") from None
    return found.pw_uid, found.pw_gid


# ---------------------------------------------------------------------------------------------------------------------
# content: releases


class Releases:
    """The releases of one content path: ``PATH`` is a symlink to one of the folders in ``PATH.releases``."""

    def __init__(self, work: Work, path: str) -> None:
        if path not in work.policy.paths:
            raise not_in_policy("path", path, work.policy.paths)
        self.live, self.base = path, path + ".releases"
        self.owner = owner_of(work.policy.paths[path])
        self.staging, self.incoming = self.base + "/.staging", self.base + "/.incoming"
        self._notes = f"{work.places.state}/releases/{name_of(path)}"

    def names(self) -> List[str]:
        """Oldest first; ``original`` is what was there before us."""
        try:
            found = [name for name in os.listdir(self.base) if name[0] != "." and os.path.isdir(f"{self.base}/{name}")]
        except FileNotFoundError:
            return []
        return sorted(found, key=lambda name: (name != "original", name))

    def current(self) -> Optional[str]:
        """The one that is served."""
        try:
            folder, _, name = os.readlink(self.live).rpartition("/")
        except OSError:
            return None
        return name if os.path.basename(folder) == os.path.basename(self.base) and name in self.names() else None

    def record(self, name: str) -> Optional[Answer]:
        """What was written down when a release was verified."""
        try:
            with open(f"{self._notes}/{name}.json", "rb") as file:
                found = parse_json(file.read(65536))
            return found if isinstance(found, dict) and digest(found.get("digest")) else None
        except (OSError, ValueError):
            return None

    def write_record(self, name: str, record: Answer) -> None:
        """Before the release gets its name, so that no named release lacks it."""
        os.makedirs(self._notes, mode=0o755, exist_ok=True)
        put_file(f"{self._notes}/{name}.json", json.dumps(record).encode(), 0o644)

    def forget(self, name: str) -> None:
        """A release is no more what its record says."""
        try:
            os.unlink(f"{self._notes}/{name}.json")
        except FileNotFoundError:
            pass

    def described(self, name: str) -> Answer:
        """A release for the monitor; its digest is null without a record, or if a power cut may have cost some."""
        record = self.record(name) or {}
        if not record.get("on_disk") and record.get("boot_id") != boot_id():
            record = {}
        keys = ("digest", "files", "bytes", "verified_at", "source", "source_digest_at")
        return dict({key: record.get(key) for key in keys}, release=name)

    def is_intact(self, work: Work, name: str, inodes: Inodes) -> bool:
        """Whether a release still has what it was verified with: files, modes, owners, symlinks, and nothing else."""
        record = self.record(name)
        if record is None:
            return False
        tree = Tree(f"{self.base}/{name}")
        listing = Listing(work, tree, inodes, self.owner)
        tree.close()
        return listing.digest == record["digest"] and all(found for found, _ in listing.paths.values())

    def switch(self, name: str) -> None:
        """Serve a release: one rename, so that nobody ever sees half of it (I6)."""
        fresh = f"{self.live}.failover-new"
        try:
            os.unlink(fresh)
        except FileNotFoundError:
            pass
        os.symlink(f"{os.path.basename(self.base)}/{name}", fresh)
        try:
            if os.path.isdir(self.live) and not os.path.islink(self.live):
                # Symlink and folder change places in one step where the kernel can; else the site is away for a moment.
                if _libc.syscall(
                    RENAMEAT2.get(os.uname().machine, -1), -100, os.fsencode(fresh), -100, os.fsencode(self.live), 2
                ):
                    os.rename(self.live, f"{self.base}/original")
                    os.rename(fresh, self.live)
                else:
                    os.rename(fresh, f"{self.base}/original")
            else:
                os.rename(fresh, self.live)
        except OSError as error:
            raise Failed("not-switched", f"{self.live} can't be switched to {name}: {plain(error)}") from None
        sync_folder(os.path.dirname(self.live))


def owner_of(entry: Answer) -> Tuple[int, int]:
    """Whose the content of a path is."""
    import grp
    import pwd

    try:
        uid = pwd.getpwnam(entry["owner"]).pw_uid if entry.get("owner") else 0
        return uid, grp.getgrnam(entry["group"]).gr_gid if entry.get("group") else 0
    except KeyError as error:
        raise Refused("no-owner", f"{entry['path']} shall belong to somebody unknown here: {error}") from None


RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "ppc64le": 357, "s390x": 347, "riscv64": 276}


def sync_folder(path: str) -> None:
    """Make renames in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def ask_content(work: Work, args: Args) -> Answer:
    """What is served at a path, and what else is kept. ``verify`` looks at the files, not only at the record."""
    releases = Releases(work, args["path"])
    name = releases.current()
    current = releases.described(name) if name is not None else None
    if current is not None and args.get("verify"):
        inodes = inodes_of(work, args["path"])
        current["intact"] = releases.is_intact(work, current["release"], inodes)
        inodes.save()
    return {
        "current": current,
        "releases": [releases.described(name) for name in releases.names()],
        "staging": os.path.isdir(releases.staging),
    }


# ---------------------------------------------------------------------------------------------------------------------
# content: the copy

CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr"


class Pull:
    """One SSH connection to a source, as an unprivileged user; what is asked for is named by digest, never by path."""

    def __init__(self, work: Work, name: str) -> None:
        source = work.policy.sources.get(name)
        if source is None:
            raise not_in_policy("source", name, work.policy.sources)
        self._work, self._name = work, name
        self._user = content_user(work.policy)
        self._where = "{}@{}".format(source.get("user", "failover-content"), source["ssh"])
        self._folder = f"{work.places.run}/pull-{os.getpid()}"
        self._sweep()
        os.makedirs(self._folder, mode=0o700)
        port = int(source.get("port", 22))
        host = source["ssh"] if port == 22 else "[{}]:{}".format(source["ssh"], port)
        put_file(
            f"{self._folder}/known_hosts", "{} {}\n".format(host, source["host_key"]).encode(), 0o644, durable=False
        )
        if self._user is not None:
            os.chown(self._folder, *self._user)
        options = {
            "BatchMode": "yes", "StrictHostKeyChecking": "yes", "UserKnownHostsFile": "known_hosts",
            "GlobalKnownHostsFile": "/dev/null", "IdentitiesOnly": "yes", "IdentityFile": work.places.content_key,
            "ConnectTimeout": "5", "ServerAliveInterval": "5", "ServerAliveCountMax": "3", "Port": str(port),
            "ClearAllForwardings": "yes", "UpdateHostKeys": "no", "Ciphers": CIPHERS, "LogLevel": "ERROR",
        }  # fmt: skip
        self._ssh = ["ssh", "-F", "none", "-S", "s"] + [f"-o{key}={value}" for key, value in options.items()]
        self._master = self._popen(self._ssh + ["-M", "-N", self._where], stderr=subprocess.PIPE)

    def _sweep(self) -> None:
        """Remove what killed workers left."""
        for name in os.listdir(self._work.places.run):
            if name.startswith("pull-") and not os.path.exists(f"/proc/{name[5:]}"):
                remove_tree(f"{self._work.places.run}/{name}")

    def _popen(self, argv: List[str], **more: Any) -> "subprocess.Popen[bytes]":
        user = self._user

        def become() -> None:
            if user is not None:
                os.setgroups([user[1]])
                os.setgid(user[1])
                os.setuid(user[0])
            _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            die_with_parent()

        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, env=ENVIRONMENT, cwd=self._folder, preexec_fn=become, **more
        )  # fmt: skip

    def ready(self) -> None:
        """Wait until the connection stands.

        Raises:
            Refused: ``source-unreachable``, with what ssh says.
        """
        while not os.path.exists(f"{self._folder}/s"):
            self._work.in_time()
            if self._master.poll() is not None:
                said = self._master.stderr.read(2000).decode("utf-8", "replace").strip() if self._master.stderr else ""
                raise Refused("source-unreachable", f"{self._name} ({self._where}): {said or 'ssh ended'}")
            time.sleep(0.002)

    def start(self, options: List[str], what: str, target: str) -> "subprocess.Popen[bytes]":
        """Start rsync for something that the source serves."""
        shell = " ".join(self._ssh + ["-oControlMaster=no"])
        argv = (
            ["rsync", "-t", "--timeout=30", "--outbuf=L", "-e", shell]
            + options
            + ["--", f"{self._where}:{what}", target]
        )
        return self._popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def manifest(self, name: str, most: int) -> bytes:
        """The source's list of its content, as its own helper wrote it, proven by its digest."""
        argv = self._ssh + ["-oControlMaster=no", self._where, f"manifest {name}"]
        process = self._popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        text, said = process.communicate(timeout=self._work.left())
        if hashlib.sha256(text).hexdigest() != name or len(text) > most:
            words = said.decode("utf-8", "replace").strip()[-500:]
            if process.returncode == 255:
                raise Refused("source-unreachable", f"{self._name}: {words}")
            raise Refused("changed-during-copy", f"{self._name} doesn't give the manifest {name[:12]}: {words}")
        return text

    def put_list(self, paths: Iterable[bytes]) -> str:
        """A list of paths for rsync."""
        put_file(f"{self._folder}/list", b"".join([path + b"\0" for path in paths]), 0o644, durable=False)
        return f"{self._folder}/list"

    def close(self) -> None:
        """Hang up."""
        self._master.kill()
        self._master.wait()
        if self._master.stderr:
            self._master.stderr.close()
        remove_tree(self._folder)


class Copy:
    """Brings a path to what the source has: staged, verified against the source's manifest, switched at once."""

    def __init__(self, work: Work, args: Args) -> None:
        self.work, self.args = work, args
        self.releases = Releases(work, args["path"])
        self.owner = self.releases.owner
        self.inodes = inodes_of(work, args["path"])
        self.keep = max(1, int(args.get("keep", 5)))
        self.began = time.monotonic()
        self.fetched_bytes = self.fetched = self.linked = self.removed = 0

    def run(self) -> Answer:
        """The whole way."""
        self._suspect_totals()
        ready = self._ready_release()
        if ready is not None:
            return self._serve(ready, changed=False)
        pull = Pull(self.work, self.args["source"])
        try:
            return self._copy(pull)
        finally:
            pull.close()

    def _copy(self, pull: Pull) -> Answer:
        base = self._base()
        tree = Tree(base) if base is not None else None
        there = (
            Listing(self.work, tree, self.inodes, self.owner) if tree is not None else None
        )  # while ssh shakes hands
        pull.ready()
        self.work.progress(phase="manifest")
        text = pull.manifest(self.args["digest"], (64 << 20) + 5000 * self.args["files"])
        try:
            wanted = Manifest.parse(text)
            wanted.check(there.manifest.records if there is not None else ())
        except ValueError as error:
            raise Refused("bad-manifest", f"the manifest of {self.args['source']} can't be used: {error}") from None
        if (wanted.files, wanted.bytes) != (self.args["files"], self.args["bytes"]):
            raise Refused("bad-manifest", f"it lists {wanted.files} files of {wanted.bytes} bytes, not as was said")
        self._suspect_paths(wanted)
        self.work.begin()
        tree = self._stage(base, tree)
        try:
            missing = self._reuse(tree, there, wanted)
            self._room_for(missing)
            if missing:
                self._fetch(pull, tree, missing)
            self._finish_folders(tree, wanted, there)
            return self._serve(self._name(text, tree), changed=True)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._clean_up()
            raise Failed("no-space", f"the disk of {self.releases.base} is full: {plain(error)}") from None
        except Refused as error:
            if error.kind == "no-space":
                self._clean_up()
            raise
        finally:
            self.inodes.save()
            tree.close()

    # reasons not to copy --------------------------------------------------------------------------------------------

    def _last(self) -> Optional[Answer]:
        current = self.releases.current()
        for name in ([current] if current else []) + self.releases.names()[::-1]:
            record = self.releases.record(name)
            if record is not None:
                return record
        return None

    def _suspect_totals(self) -> None:
        """A source that is nearly empty is a source in trouble, not a new version (C7)."""
        last, most = self._last(), self.args.get("max_loss_percent", 20)
        if not self.args["files"] and most < 100:
            raise Refused("source-suspect", f"{self.args['source']} has no file at all")
        if last is None:
            return
        for what in ("files", "bytes"):
            loss = 100.0 * (last[what] - self.args[what]) / last[what] if last[what] else 0.0
            if loss > most:
                sentence = (
                    f"{self.args['source']} has {self.args[what]} {what}, the last verified copy has {last[what]}"
                )
                raise Refused("source-suspect", f"{sentence}: {loss:.1f} % fewer, allowed are {most:g} %")

    def _suspect_paths(self, wanted: Manifest) -> None:
        """As many files under other names are a loss too."""
        last, most = self._last(), self.args.get("max_loss_percent", 20)
        try:
            with open(os.path.join(self.work.places.manifests, last["digest"] if last else ""), "rb") as file:
                before = Manifest.parse(file.read())
        except (OSError, ValueError):
            return
        lost = {record.split(b" ", 4)[4] for record in before.records - wanted.records if record[:1] == b"f"}
        gone = len(lost - {record.split(b" ", 4)[4] for record in wanted.records - before.records})
        loss = 100.0 * gone / before.files if before.files else 0.0
        if loss > most:
            sentence = f"{gone} of {before.files} files of the last verified copy are gone from {self.args['source']}"
            raise Refused("source-suspect", f"{sentence}: {loss:.1f} %, allowed are {most:g} %")

    def _room_for(self, missing: Dict[bytes, Entry]) -> None:
        """Known before, not found out at the last file (C3)."""
        disk = os.statvfs(self.releases.base)
        block = disk.f_frsize
        need = sum(-(-entry.size // block) for entry in missing.values()) * block
        free, inodes = disk.f_bavail * block, disk.f_favail if disk.f_files else 1 << 60
        if need > free or len(missing) > inodes:
            sentence = f"the copy needs {size_text(need)} in {len(missing)} files more"
            raise Refused(
                "no-space", f"{sentence}; {self.releases.base} has {size_text(free)} free, and room for {inodes} files"
            )

    def _clean_up(self) -> None:
        for path in (self.releases.incoming, self.releases.staging):
            remove_tree(path)

    # what is there already ------------------------------------------------------------------------------------------

    def _ready_release(self) -> Optional[str]:
        """A release that has the wanted content and still is as it was verified."""
        current = self.releases.current()
        names = ([current] if current else []) + [name for name in self.releases.names()[::-1] if name != current]
        for name in names:
            record = self.releases.record(name)
            if record is not None and record["digest"] == self.args["digest"]:
                self.work.progress(phase="checking", release=name)
                if self.releases.is_intact(self.work, name, self.inodes):
                    return name
                self.work.places.log(f"{self.releases.base}/{name} isn't as it was verified: it is made anew")
        return None

    def _base(self) -> Optional[str]:
        """The folder that becomes the new release: what an interrupted copy left, else the oldest release, else none.

        Turning an old release into the new one touches only what differs between the two; making all links anew and
        removing an old release would touch every file twice, and its ctime, by which we know what it contains.
        """
        if os.path.isdir(self.releases.staging):
            return self.releases.staging
        names, current = self.releases.names(), self.releases.current()
        old = [name for name in names if name != current]
        return f"{self.releases.base}/{old[0]}" if old and len(names) >= self.keep > 1 else None

    def _stage(self, base: Optional[str], tree: Optional[Tree]) -> Tree:
        """Where no visitor comes, and nobody but us."""
        staging = self.releases.staging
        os.makedirs(self.releases.base, mode=0o755, exist_ok=True)
        if base is None:
            os.mkdir(staging, 0o700)
        elif base != staging:
            self.releases.forget(os.path.basename(base))
            os.rename(base, staging)
        os.chmod(staging, 0o700)
        os.chown(staging, 0, 0)
        return tree or Tree(staging)

    def _reuse(self, tree: Tree, there: Optional[Listing], wanted: Manifest) -> Dict[bytes, Entry]:
        """Keep what is right in the staged tree, remove the rest, link what others have; the files then missing."""
        right = set(wanted.top)
        if there is not None:
            wrong = []
            folders = {record.split(b" ", 4)[4]: record for record in wanted.records if record[:1] == b"d"}
            for path, (record, is_folder) in there.paths.items():
                if record in wanted.records:
                    right.add(record)
                elif is_folder and path in folders:
                    right.add(folders[path])  # its mode and owner are set in the end
                else:
                    wrong.append((path, is_folder))
            for path, is_folder in reversed(wrong):  # children come after their parents
                tree.remove(path, is_folder)
            self.removed = len(wrong)
            tree.forget()
        missing = {}
        sources = self._link_sources()
        for path, entry in sorted(map(entry_of, wanted.records - right)):
            fd, name = tree.place(path)
            if entry.kind == FOLDER:
                os.mkdir(name, 0o700, dir_fd=fd)
            elif entry.kind == SYMLINK:
                os.symlink(entry.mark, name, dir_fd=fd)
                os.chown(name, *self.owner, dir_fd=fd, follow_symlinks=False)
            elif not self._link(sources, fd, name, path, entry):
                missing[path] = entry
            self.work.progress(phase="comparing", linked=self.linked, missing=len(missing))
        for source in sources:
            source.close()
        return missing

    def _mark(self, tree: Tree, path: bytes, info: os.stat_result) -> Optional[bytes]:
        """The SHA-256 of a file of ours: known, or read now."""
        mark = self.inodes.get(info)
        if mark is None:
            fd = tree.read(path)
            try:
                mark = sha256_of(fd, info.st_size)
            finally:
                os.close(fd)
            after = tree.stat(path)
            if after is None or after.st_ctime_ns != info.st_ctime_ns:
                return None
            self.inodes.put(info, mark)
        return mark

    def _link_sources(self) -> List[Tree]:
        current = self.releases.current()
        names = ([current] if current else []) + [name for name in self.releases.names()[::-1] if name != current]
        found = [Tree(f"{self.releases.base}/{name}") for name in names]
        if os.path.isdir(self.releases.live) and not os.path.islink(self.releases.live):
            found.append(Tree(self.releases.live))
        return found

    def _link(self, sources: List[Tree], fd: int, name: bytes, path: bytes, entry: Entry) -> bool:
        for source in sources:
            info = source.stat(path)
            if (
                info is None
                or info.st_size != entry.size
                or info.st_mode != entry.mode | stat.S_IFREG
                or (info.st_uid, info.st_gid) != self.owner
                or self._mark(source, path, info) != entry.mark
            ):
                continue
            other, its_name = source.place(path)
            try:
                os.link(its_name, name, src_dir_fd=other, dst_dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue  # too many links, or another file system: it is fetched
            after = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if (after.st_ino, after.st_size, after.st_mtime_ns) != (info.st_ino, info.st_size, info.st_mtime_ns):
                os.unlink(name, dir_fd=fd)  # somebody put another file there between the two looks
                continue
            self.inodes.put(after, entry.mark)  # linking changed its ctime
            self.linked += 1
            return True
        return False

    # what must be fetched -------------------------------------------------------------------------------------------

    def _fetch(self, pull: Pull, tree: Tree, missing: Dict[bytes, Entry]) -> None:
        """Fetch files into a folder of the unprivileged user, and take each over as it arrives and is found right."""
        user = content_user(self.work.policy)
        os.makedirs(self.releases.incoming, mode=0o700, exist_ok=True)
        if user is not None:
            os.chown(self.releases.incoming, *user)
        incoming = Tree(self.releases.incoming)
        left = dict(missing)
        wrong: Dict[bytes, str] = {}

        def take(path: bytes) -> bool:
            """Whether nothing more is to be waited for."""
            entry = left.get(path)
            if entry is None:
                return True
            why = self._take_over(incoming, tree, path, entry, user)
            if why == "":
                return False
            if why is None:
                self.fetched += 1
                self.fetched_bytes += entry.size
            else:
                wrong[path] = why
            del left[path]
            return True

        try:
            for path in [path for path, info in incoming.walk() if stat.S_ISREG(info.st_mode)]:
                take(path)  # what an interrupted copy had fetched
            left.update((path, missing[path]) for path in wrong)
            wrong.clear()
            if left:
                options = ["--out-format=%n"]
                if len(left) < self.args["files"]:
                    options += ["--from0", "--no-implied-dirs", f"--files-from={pull.put_list(left)}"]
                else:
                    options += ["-r"]  # all of it: so rsync sends the first file before it has seen the last
                process = pull.start(options, f"content/{name_of(self.args['path'])}/", self.releases.incoming)
                said = self._listen(process, take)
                for path in list(left):
                    take(path)
                self._judge(process.returncode, said, left, wrong)
        finally:
            incoming.clear()
            incoming.close()
            os.rmdir(self.releases.incoming)

    def _listen(self, process: "subprocess.Popen[bytes]", take: Callable[[bytes], bool]) -> str:
        """Read what rsync says until it ends, and work on the files that it names meanwhile."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        pipe, rest, names, said = process.stdout.fileno(), b"", collections.deque(), b""  # type: ignore[var-annotated]
        ended, taken = False, 0
        while True:
            # Not before every file: rsync's pipe holds hundreds of names, and asking for more costs what a rename does.
            look = not ended and (not names or taken >= 32)
            if look and select.select([pipe], [], [], 0 if names else 0.2)[0]:
                data = os.read(pipe, 65536)
                ended = not data
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.startswith(b"rsync") or b"rsync error" in line:
                        said = (said + line + b"\n")[-4000:]
                    else:
                        names.append(ESCAPED.sub(unescaped, line) if b"\\#" in line else line)
                taken = 0
            elif names and not take(names[0]) and not ended:
                time.sleep(0.002)  # named a moment before it gets its name
                taken = 32
            elif names:
                names.popleft()
                taken = taken + 1 if taken < 32 else 1
            if not names and ended:
                break
            self.work.progress(phase="copying", files=self.fetched, bytes=self.fetched_bytes)
        process.stdout.close()
        process.wait()
        return said.decode("utf-8", "replace").strip()

    def _take_over(
        self, incoming: Tree, tree: Tree, path: bytes, entry: Entry, user: Optional[Tuple[int, int]]
    ) -> Optional[str]:
        """Move a fetched file into the release if it is right. None: done; "": not there yet; else: why not."""
        try:
            here, name = incoming.place(path)
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
        except OSError:
            return ""
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1 or user is not None and info.st_uid != user[0]:
            os.close(fd)
            os.unlink(
                name, dir_fd=here
            )  # or rsync would find it good: it may be ours, from a copy that was interrupted
            return "it isn't a file of its own"
        try:
            os.fchown(fd, *self.owner)  # from here on the one who fetched it can't change it
            if info.st_size != entry.size or sha256_of(fd, entry.size) != entry.mark:
                os.unlink(name, dir_fd=here)
                return "its content isn't what the manifest says"
            there, _ = tree.place(path)
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
            info = os.fstat(fd)
            if info.st_mode & 0o7777 != entry.mode:  # rsync gives new files the source's, so mostly it is right
                os.fchmod(fd, entry.mode)
                info = os.fstat(fd)
            self.inodes.put(info, entry.mark)
        finally:
            os.close(fd)
        return None

    def _judge(self, code: int, said: str, left: Iterable[bytes], wrong: Dict[bytes, str]) -> None:
        """What it means that rsync ended so."""
        absent = list(left)
        if not absent and not wrong:
            return
        if "No space left" in said or "Disk quota" in said:
            raise Failed("no-space", f"the disk of {self.releases.base} is full: {said[-300:]}")
        if "Permission denied" in said:
            raise Failed("source-unreadable", f"{self.args['source']} doesn't give all of it: {said[-500:]}")
        if code not in (0, 23, 24):
            raise Failed("copy-broken", f"rsync ended with {code} and {len(absent)} files are missing: {said[-500:]}")
        named = ", ".join(shown(path) for path in (list(wrong) + absent)[:10])
        sentence = f"{len(wrong)} files changed and {len(absent)} vanished at {self.args['source']} since its manifest"
        raise Failed("changed-during-copy", f"{sentence}: {named}")

    # the end --------------------------------------------------------------------------------------------------------

    def _finish_folders(self, tree: Tree, wanted: Manifest, there: Optional[Listing]) -> None:
        """Owner and mode of the folders that were made or are the top, deepest first."""
        good = there.manifest.records - {b"d 700 0 - ."} if there is not None else frozenset()
        folders = [entry_of(record) for record in wanted.records - good if record[:1] == b"d"]
        folders += [entry_of(record) for record in wanted.top]
        for path, entry in sorted(folders, reverse=True):
            fd = tree.folder(b"" if path == b"." else path)
            os.fchown(fd, *self.owner)
            os.fchmod(fd, entry.mode)

    def _name(self, text: bytes, tree: Tree) -> str:
        """Give the staged tree its name; from here on it is a release."""
        now = time.time()
        stamp = "{}.{:03d}Z".format(time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)), int(now % 1 * 1000))
        name = "{}-{}".format(stamp, self.args["digest"][:8])
        store_manifest(self.work, self.args["digest"], text)
        self.releases.write_record(name, {
            "release": name, "digest": self.args["digest"], "files": self.args["files"], "bytes": self.args["bytes"],
            "verified_at": utc_text(now), "source": self.args["source"], "source_digest_at": utc_text(now),
            "on_disk": False, "boot_id": boot_id(),
        })  # fmt: skip
        os.rename(self.releases.staging, f"{self.releases.base}/{name}")
        self.work.afterwards = lambda: self._to_disk(name)
        return name

    def _to_disk(self, name: str) -> None:
        """Wait for the disk when nobody waits for us. A power cut before that leaves a release without a digest."""
        top = os.open(f"{self.releases.base}/{name}", os.O_RDONLY | os.O_DIRECTORY)
        if _libc.syncfs(top):
            self.work.places.log(f"{self.releases.base}/{name} can't be written out: {os.strerror(ctypes.get_errno())}")
        elif self.releases.record(name):
            self.releases.write_record(name, dict(self.releases.record(name) or {}, on_disk=True))
        os.close(top)

    def _serve(self, name: str, changed: bool) -> Answer:
        switched = False
        if self.args.get("switch", True) and self.releases.current() != name:
            self.work.begin()
            self.work.in_time()
            self.releases.switch(name)
            switched = True
        if changed or switched:
            self._prune()
        elif self.releases.record(name):
            record = dict(self.releases.record(name) or {}, verified_at=utc_text(time.time()), boot_id=boot_id())
            self.releases.write_record(name, record)
        self.inodes.save()
        return dict(
            self.releases.described(name), changed=changed, switched=switched, fetched_files=self.fetched,
            fetched_bytes=self.fetched_bytes, linked=self.linked, removed=self.removed,
            seconds=time.monotonic() - self.began,
        )  # fmt: skip

    def _prune(self) -> None:
        """Keep the newest releases, and what is served in any case."""
        current = self.releases.current()
        others = [name for name in self.releases.names() if name != current]
        for name in others[: max(0, len(others) + 1 - self.keep)]:
            self.releases.forget(name)
            remove_tree(f"{self.releases.base}/{name}")


def change_content(work: Work, args: Args) -> Answer:
    """Make a path what its source has."""
    return Copy(work, args).run()


def serve_content(places: Places, command: str) -> int:
    """The forced command of whoever pulls content from here: rsync, sending, and nothing but what the policy serves.

    The other side is this same file, so the one form of rsync's command line that it uses is all that is understood.
    """
    manifest = re.match(r"manifest ([0-9a-f]{64})\Z", command)
    if manifest is not None:
        with open(os.path.join(places.manifests, manifest.group(1)), "rb") as file:
            sys.stdout.buffer.write(file.read())
        return 0
    options = r"((?: --timeout=\d+| --files-from=-| --from0| --no-implied-dirs)*)"
    form = r"rsync --server --sender -tr?R?e\.[A-Za-z]*" + options + r" \. content/([0-9a-f]{16})/\Z"
    match = re.match(form, command)
    if match is None:
        raise Refused("not-in-policy", f"{command[:300]!r} isn't what a helper asks for")
    chosen, content = match.groups()
    served = {name_of(path): path + "/" for path in Policy.read(places).serve}
    if content not in served:
        raise Refused("not-in-policy", f"no content of the name {content} is served here")
    path = served[content]
    argv = command.split(" ")[:4] + chosen.split() + [".", path]
    return os.execvpe("rsync", argv, ENVIRONMENT)  # noqa: S606 - without a shell, on purpose


# ---------------------------------------------------------------------------------------------------------------------
# verbs: which arguments each takes


def text(most: int) -> Callable[[Any], bool]:
    """A string up to a length, without control characters."""
    return lambda value: isinstance(value, str) and 0 < len(value) <= most and not re.search(r"[\x00-\x1f\x7f]", value)


def among(*words: str) -> Callable[[Any], bool]:
    """One of these words."""
    return lambda value: value in words and isinstance(value, str)


def between(least: float, most: float) -> Callable[[Any], bool]:
    """A number in a range."""
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def texts(value: Any) -> bool:
    """A short list of strings."""
    return isinstance(value, list) and len(value) <= 50 and all(text(100)(entry) for entry in value)


def digest(value: Any) -> bool:
    """A SHA-256 in hexadecimal."""
    return isinstance(value, str) and bool(re.match(r"[0-9a-f]{64}\Z", value))


def prefix_length(value: Any) -> bool:
    """Of an IP network; null when the interface's own network shall give it."""
    return value is None or is_int(value) and value <= 128


Spec = Dict[str, Callable[[Any], bool]]
Verb = NamedTuple("Verb", [("do", Callable[[Work, Args], Answer]), ("needs", Spec), ("takes", Spec)])

ASKS = {
    "facts": Verb(ask_facts, {}, {"sections": texts}),
    "address": Verb(ask_address, {"ip": text(50)}, {"probe": flag, "probe_seconds": between(0.01, 5)}),
    "manifest": Verb(ask_manifest, {"path": text(4096)}, {}),
    "content": Verb(ask_content, {"path": text(4096)}, {"verify": flag}),
    "see": Verb(
        ask_see,
        {},
        {
            "url": text(2000),
            "host": text(255),
            "contains": text(1000),
            "ip": text(50),
            "port": between(1, 65535),
            "arp": flag,
            "timeout_seconds": between(0.01, 30),
        },
    ),
}
CHANGES = {
    "address": Verb(
        change_address_to,
        {"ip": text(50), "interface": text(15), "want": among("held", "released")},
        {"prefix": prefix_length},
    ),
    "content": Verb(
        change_content,
        {
            "path": text(4096),
            "want": among("synced"),
            "source": text(100),
            "digest": digest,
            "files": is_int,
            "bytes": is_int,
        },
        {"keep": between(1, 100), "max_loss_percent": between(0, 100), "switch": flag},
    ),
    "command": Verb(change_command, {"name": text(100)}, {}),
}
SLOW_ASKS = {"manifest": 600.0, "content": 600.0}


def checked(verbs: Dict[str, Verb], verb: str, args: Args) -> Verb:
    """The verb, if there is one that takes these arguments."""
    if verb not in verbs:
        raise not_in_policy("verb", verb, verbs)
    found = verbs[verb]
    known = dict(found.needs, **found.takes)
    unknown = sorted(set(args) - set(known))
    if unknown:
        raise Refused(
            "bad-request", "{} takes no {!r}; it takes {}".format(verb, unknown[0][:100], ", ".join(sorted(known)))
        )
    missing = sorted(set(found.needs) - set(args))
    if missing:
        raise Refused("bad-request", f"{verb} needs {missing[0]!r}")
    for name, value in args.items():
        if not known[name](value):
            raise Refused("bad-request", f"{verb}: {str(value)[:100]!r} is no {name}")
    return found


# ---------------------------------------------------------------------------------------------------------------------
# serving: one process that never waits for anything but its pipes

REQUEST_KEYS = {"id", "verb", "args", "epoch", "run", "boot_id", "not_after", "deadline_seconds"}


class Job:
    """One request under way in a process of its own."""

    def __init__(self, request: Answer, is_change: bool, end: float) -> None:
        self.id, self.verb, self.is_change, self.end = request["id"], request["verb"], is_change, end
        self.token: Optional[Token] = (request["epoch"], request["run"]) if is_change else None
        self.request = request
        self.pid = self.fd = -1
        self.buffer = b""
        self.began = self.answered = self.overdue = False


class Helper:
    """Speaks with the monitor. Everything that could hang is done by the processes that it forks."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._jobs: Dict[int, Job] = {}
        self._outbox: Any = collections.deque()
        self._outbox_bytes = 0
        self._memory: Optional[Token] = None

    def serve(self) -> int:
        """Until stdin ends."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        os.set_blocking(1, False)
        self._say({"hello": self._hello()})
        buffer, skipping = b"", False
        while True:
            poll = select.poll()
            poll.register(0, select.POLLIN)
            for fd in self._jobs:
                poll.register(fd, select.POLLIN)
            if self._outbox:
                poll.register(1, select.POLLOUT)
            ends = [job.end + (1.0 if job.overdue else 0.0) for job in self._jobs.values() if not job.answered]
            ready = poll.poll(max(0.0, min(ends) - boottime()) * 1000 + 1 if ends else None)
            for fd, _ in ready:
                if fd in self._jobs:
                    self._hear(self._jobs[fd])
            self._keep_time()
            if any(fd == 1 for fd, _ in ready):
                self._flush()
            if any(fd == 0 for fd, _ in ready):
                data = os.read(0, 65536)
                if not data:
                    return self._end()
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    if skipping:
                        skipping = False
                    elif line.strip():
                        self._take(line)
                if len(buffer) > MAX_LINE_BYTES:
                    if not skipping:
                        self._refuse(None, "bad-request", f"a line of more than {MAX_LINE_BYTES} bytes")
                    buffer, skipping = b"", True

    def _hello(self) -> Answer:
        try:
            policy: Optional[str] = Policy.read(self.places).sha256
        except Refused:
            policy = None
        return {
            "protocol": PROTOCOL,
            "version": VERSION,
            "sha256": own_sha256(),
            "policy_sha256": policy,
            "python": sys.version.split()[0],
            "boot_id": boot_id(),
            "boottime": boottime(),
        }

    # requests -------------------------------------------------------------------------------------------------------

    def _take(self, line: bytes) -> None:
        number: Any = None
        try:
            if len(line) > MAX_LINE_BYTES:
                raise Refused("bad-request", f"a line of more than {MAX_LINE_BYTES} bytes")
            request = parse_json(line)
            if not isinstance(request, dict):
                raise Refused("bad-request", "a request is an object")
            if is_int(request.get("id")) or text(100)(request.get("id")):
                number = request["id"]
            self._start(self._understood(request))
        except Refused as error:
            self._refuse(number, error.kind, str(error))
        except (ValueError, RecursionError) as error:
            self._refuse(number, "bad-request", f"no JSON that can be read: {plain(error)[:200]}")
        except OSError as error:
            self._refuse(number, "busy", f"no process could be started: {plain(error)}")

    def _understood(self, request: Answer) -> Job:
        unknown = sorted(set(request) - REQUEST_KEYS)
        if unknown:
            raise Refused("bad-request", f"unknown key {unknown[0][:100]!r}")
        if not (is_int(request.get("id")) or text(100)(request.get("id"))):
            raise Refused("bad-request", "a request needs an id, a number or a short string")
        if any(job.id == request["id"] for job in self._jobs.values() if not job.answered):
            raise Refused("bad-request", "a request of this id is under way")
        if not text(50)(request.get("verb")) or not isinstance(request.setdefault("args", {}), dict):
            raise Refused("bad-request", "a request needs a verb, and its args are an object")
        is_change = bool(set(request) & {"epoch", "run", "boot_id", "not_after"})
        if is_change and not (
            is_int(request.get("epoch"))
            and is_int(request.get("run"))
            and text(100)(request.get("boot_id"))
            and between(0, 1e12)(request.get("not_after"))
            and "deadline_seconds" in request
        ):
            raise Refused("bad-request", "a change needs epoch, run, boot_id, not_after and deadline_seconds")
        seconds = request.setdefault("deadline_seconds", SLOW_ASKS.get(request["verb"], ASK_SECONDS))
        if not between(0, 1e9)(seconds):
            raise Refused("bad-request", f"{seconds!r} is no deadline")
        end = boottime() + min(seconds, LONGEST_SECONDS)
        return Job(request, is_change, min(end, request["not_after"]) if is_change else end)

    def _start(self, job: Job) -> None:
        if job.verb == "facts" and job.request["args"] == {"sections": []} and not job.is_change:
            self._say({"id": job.id, "result": pulse()})  # a sign of life, given even when nothing can be forked
            return
        under_way = sum(1 for other in self._jobs.values() if other.is_change == job.is_change)
        if under_way >= (MAX_CHANGES if job.is_change else MAX_ASKS):
            raise Refused("busy", f"{under_way} requests are under way already")
        job.fd, pipe = os.pipe()
        try:
            job.pid = os.fork()
        except OSError:
            os.close(job.fd)
            os.close(pipe)
            raise
        if job.pid == 0:
            self._become_worker(job, pipe)
        os.close(pipe)
        self._jobs[job.fd] = job

    def _become_worker(self, job: Job, pipe: int) -> None:
        try:
            os.setsid()
            # Our own clock too: whoever keeps the time for us may be stopped by a full pipe or a signal, or killed.
            signal.signal(signal.SIGALRM, end_self)
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGALRM, 0, 0, 0)
            for fd in list(self._jobs) + [job.fd]:
                os.close(fd)
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            for number in (signal.SIGTERM, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, max(0.001, job.end - boottime() + 0.05))
            os.umask(0o022)
            carry_out(self.places, job, pipe, self._memory)
        finally:
            os._exit(0)

    # answers --------------------------------------------------------------------------------------------------------

    def _hear(self, job: Job) -> None:
        data = os.read(job.fd, 65536)
        if not data:
            self._gone(job)
            return
        *lines, job.buffer = (job.buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line.decode())
            if "began" in message:
                job.began = True
                self._memory = max(self._memory or (0, 0), job.token or (0, 0))
            elif not job.answered and not job.overdue:
                job.answered = "progress" not in message
                if "progress" not in message or self._outbox_bytes < MAX_LINE_BYTES:
                    self._say(dict(message, id=job.id))

    def _gone(self, job: Job) -> None:
        os.close(job.fd)
        del self._jobs[job.fd]
        os.waitpid(job.pid, 0)
        if job.answered:
            return
        if job.overdue or boottime() >= job.end:  # it keeps time itself, and may be a moment ahead of us
            self._answer_overdue(job, "its work was ended")
            return
        newest = Gate(self.places).newest()
        if job.token and newest and job.token < newest:
            kind, sentence = "superseded", "a newer token, {}.{}, ended it".format(*newest)
        else:
            kind, sentence = "killed", "its process was killed"
        self._refuse(job.id, kind, f"{job.verb}: {sentence}", began=job.began)

    def _keep_time(self) -> None:
        for job in list(self._jobs.values()):
            if boottime() < job.end or job.answered and boottime() < job.end + 1:
                continue
            if not job.overdue:
                job.overdue = True
                if job.is_change:
                    self.places.log("ends {} of token {}.{}: its time is over".format(job.verb, *(job.token or (0, 0))))
                end_work(job.pid)
            elif not job.answered and boottime() >= job.end + 1.0:
                self._answer_overdue(job, "its process can't be killed yet")

    def _answer_overdue(self, job: Job, how: str) -> None:
        job.answered = True
        sentence = "{} wasn't done within {:.3g} s; {}".format(job.verb, job.request["deadline_seconds"], how)
        self._refuse(job.id, "past-deadline", sentence, began=job.began)

    def _refuse(self, number: Any, kind: str, sentence: str, began: bool = False) -> None:
        self._say({"id": number, "error": {"kind": kind, "message": sentence, "began": began}})

    def _say(self, message: Answer) -> None:
        data = json.dumps(message).encode() + b"\n"
        self._outbox.append(data)
        self._outbox_bytes += len(data)
        self._flush()
        if self._outbox_bytes > MAX_OUTBOX_BYTES:
            self._end()  # nobody reads: the session is of no use to anyone

    def _flush(self) -> None:
        while self._outbox:
            try:
                sent = os.write(1, self._outbox[0])
            except BlockingIOError:
                return
            except OSError:
                self._end()
                return
            self._outbox_bytes -= sent
            if sent == len(self._outbox[0]):
                self._outbox.popleft()
            else:
                self._outbox[0] = self._outbox[0][sent:]

    def _end(self) -> int:
        for job in self._jobs.values():
            if job.began and not job.answered:
                self.places.log(f"ends {job.verb}: the session is over")
            end_work(job.pid)
        os._exit(0)


def carry_out(places: Places, job: Job, pipe: int, memory: Optional[Token]) -> None:
    """Do what a request asks, in the process that is there for it, and say how it went."""
    args, token = job.request["args"], job.token
    label = "{} {}".format(job.verb, args.get("want", "")).strip() if job.is_change else job.verb
    told = f"{job.verb} {json.dumps(args, sort_keys=True)}"[:1000]
    gate = Gate(places)
    work: Optional[Work] = None
    try:
        work = Work(places, label, job.end, pipe, token)
        verb = checked(CHANGES if job.is_change else ASKS, job.verb, args)
        if token is not None:
            gate.enter(work, token, job.request["boot_id"], job.request["not_after"], memory)
            places.log("begins {} with token {}.{}".format(told, *token))
        message: Answer = {"result": verb.do(work, args)}
        if token is not None:
            places.log("did {} with token {}.{}".format(told, *token))
    except Refused as error:
        began = isinstance(error, Failed)
        message = {"error": {"kind": error.kind, "message": str(error), "began": began}}
        if error.result is not None:
            message["error"]["result"] = error.result
        if token is not None or error.kind in ("not-in-policy", "bad-policy"):
            places.log("{} {}: {} ({})".format("failed at" if began else "refused", told, error, error.kind))
    except Exception as error:  # noqa: BLE001 - a fault of ours is answered like any other, with what was touched by then
        began = work is not None and work.began
        places.log("fault in {}: {}".format(told, traceback.format_exc().replace("\n", " | ")))
        message = {"error": {"kind": "fault", "message": plain(error), "began": began}}
    gate.leave()
    if len(json.dumps(message)) > MAX_LINE_BYTES - 200:
        message = {
            "error": {"kind": "too-much-output", "message": "the answer doesn't fit a line", "began": job.is_change}
        }
    write_line(pipe, message)
    if token is not None and work is not None and "result" in message:
        gate.keep_copy(work, token)
        work.afterwards()


# ---------------------------------------------------------------------------------------------------------------------
# by hand, at boot, and for others who pull content


GUARD_SECONDS = 120.0


def guard(places: Places, late: bool) -> int:
    """Park every service address, once per boot and before the network is up (decision 3), and watch for two minutes.

    Units that only one server may run are parked with them (decision 7), before systemd comes to start them.

    Started again by hand or by an upgrade it does nothing: the daemon may have given an address back meanwhile. With
    ``late`` it only takes off what came up.
    """
    from . import parking

    work = Work(places, "guard", boottime() + 60)
    if late:
        take_off_parked(work)
        return 0
    os.makedirs(places.run, mode=0o755, exist_ok=True)
    try:
        os.close(os.open(places.run + "/guarded", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        sys.stderr.write("what is to be parked was parked at boot; nothing is done now\n")
        return 0
    units = parking.parking_units(work.policy)
    parking.set_marks(places, units)  # first: it can't fail for want of a tool
    if work.policy.addresses:
        set_parked(work, set(parked()) | set(work.policy.addresses))
    places.log("parked at boot: {}".format(", ".join(sorted(work.policy.addresses) + units) or "nothing"))
    if not work.policy.addresses:
        return 0
    if os.fork():
        return 0
    detach()
    until = time.monotonic() + GUARD_SECONDS
    while time.monotonic() < until:
        take_off_parked(Work(places, "guard", boottime() + 60))
        time.sleep(1)
    os._exit(0)


def take_off_parked(work: Work) -> None:
    """Remove parked addresses that something put on an interface: unheard as they are, they mislead who looks."""
    there = [held for held in addresses() if held.ip in work.policy.addresses]
    if not there:
        return
    lock = os.open(work.places.run + "/lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return  # a change is under way, perhaps the one that gives the address back
    silenced = parked()
    names = {link.index: link.name for link in links().values()}
    for held in there:
        if held.ip in silenced and held.index in names:
            remove_address(held, names[held.index])
            work.places.log(f"took {held.ip} off {names[held.index]}: it is parked")
    os.close(lock)


def unpark(places: Places, ip: str) -> int:
    """Give an address, or the leave to run a unit, back by hand while no daemon runs; the link is asked, as always."""
    from . import parking

    work = Work(places, "unpark", boottime() + 60)
    if parking.full(ip) in parking.parking_units(work.policy):
        places.log(f"unpark {ip} by hand")
        there = parking.unpark(places, ip)
        sys.stdout.write(f"{ip} {'may be started now' if there else 'was not parked'}\n")
        return 0
    entry = work.policy.address(ip)
    places.log(f"unpark {ip} by hand")
    state = hold(work, entry, entry["prefix"])
    sys.stdout.write(json.dumps(state) + "\n")
    return 0


def main(argv: List[str]) -> int:
    """See the top of this file."""
    root = ""
    if argv[:1] == ["--root"] and len(argv) > 1 and "SUDO_UID" not in os.environ:
        root, argv = os.path.abspath(argv[1]), argv[2:]
    places = Places(root)
    os.umask(0o022)
    try:
        if argv in ([], ["serve"]):
            from . import verbs  # here, because each of them stands on this file

            verbs.add_all()
            return Helper(places).serve()
        if argv == ["serve-content"]:
            return serve_content(places, os.environ.get("SSH_ORIGINAL_COMMAND", ""))
        if argv in (["guard"], ["guard", "--late"]):
            return guard(places, late=len(argv) > 1)
        if argv[:1] == ["unpark"] and len(argv) == 2:
            return unpark(places, argv[1])
        if argv[:1] == ["announce"] and len(argv) == 4:
            return announce(places, *argv[1:])
    except Refused as error:
        places.log("refused {}: {} ({})".format(" ".join(argv), error, error.kind))
        sys.stderr.write(f"{error} ({error.kind})\n")
        return 1
    sys.stderr.write("usage: failover-helper [serve | serve-content | guard [--late] | unpark IP-OR-UNIT]\n")
    return 2
