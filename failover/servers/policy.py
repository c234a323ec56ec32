"""What a server's helper may touch, from plain data: the same data give the same bytes, so that drift can be seen."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

MAX_OUTPUT_BYTES = 64 << 10
_UNIT = re.compile(r"(?!-)[A-Za-z0-9:_.@\\-]{1,200}")


@dataclass(frozen=True, slots=True, order=True)
class PolicyAddress:
    """A service address that the server may hold, and on which interface."""

    name: str
    ip: str
    interface: str
    prefix: int | None = None
    """None: the interface's own network gives it."""


@dataclass(frozen=True, slots=True, order=True)
class PolicyPath:
    """A path that content may be put at, and whose it is then."""

    path: str
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True, slots=True)
class PolicySource:
    """A server that content may be pulled from: where its sshd is, as whom, and the host key that it must show."""

    ssh: str
    host_key: str
    user: str = "failover-content"
    port: int = 22


@dataclass(frozen=True, slots=True)
class PolicyDump:
    """How a database is dumped, and from where: by server, the address and port that it listens on."""

    engine: str
    database: str
    user: str
    password_file: str
    places: Mapping[str, tuple[str, int]]
    format: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyBackups:
    """A backup set of which the server has backups, or may be given some to restore."""

    set: str
    kind: str
    path: str
    dump: PolicyDump | None = None
    """None: this server makes none of them."""
    paths: tuple[str, ...] = ()
    """Folders of another server that this one archives."""
    pattern: str | None = None
    settle_seconds: float | None = None
    store: Mapping[str, str] | None = None
    """A restic repository and the file with its password."""

    def entry(self) -> dict[str, object]:
        """As the policy file has it."""
        found: dict[str, object] = {"set": self.set, "kind": self.kind, "path": self.path}
        if self.dump is not None:
            found["database"] = self.dump.database
            found["dump"] = {key: getattr(self.dump, key) for key in ("engine", "user", "password_file")}
            found["format"] = self.dump.format
            found["from"] = {name: {"host": host, "port": port} for name, (host, port) in self.dump.places.items()}
        if self.paths:
            found["paths"] = list(self.paths)
        if self.pattern is not None:
            found |= {"pattern": self.pattern, "settle_seconds": self.settle_seconds}
        if self.store is not None:
            found["store"] = dict(self.store)
        return found


@dataclass(frozen=True, slots=True)
class PolicyDatabase:
    """A database that the server may restore, exchange and keep from writes: itself, and what stands beside it."""

    name: str
    engine: str
    owner: str
    user: str
    host: str
    port: int
    password_file: str
    queries: Mapping[str, str] = field(default_factory=dict)
    """Questions of the site's own, by name: no other is ever asked."""


@dataclass(frozen=True, slots=True)
class PolicyService:
    """What is to be seen to before a unit is started, whoever asks for it."""

    unit: str
    """With its suffix, as ``wcm.service``."""
    pid_files: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    mounts: tuple[str, ...] = ()
    command: str | None = None
    """By its name under ``commands``: says by its exit code whether the unit may start now."""
    parks: bool = False
    """Only one server may run it: it is kept from starting from each boot on, until the daemon lets it."""


@dataclass(frozen=True, slots=True)
class PolicyConnect:
    """A file whose settings may be edited, and which of them."""

    file: str
    format: str
    keys: tuple[str, ...]
    template: str | None = None

    def entry(self) -> dict[str, object]:
        """As the policy file has it."""
        found: dict[str, object] = {"file": self.file, "format": self.format, "keys": sorted(self.keys)}
        return found | ({"template": self.template} if self.template is not None else {})


@dataclass(frozen=True, slots=True)
class Policy:
    """One server's policy file, ``/etc/failover-helper/policy.json``.

    Raises:
        ValueError: a path that isn't absolute and plain, a ``see`` that is no network: nothing vague gets root's power.
    """

    site: str
    server: str
    addresses: tuple[PolicyAddress, ...] = ()
    units: tuple[str, ...] = ()
    paths: tuple[PolicyPath, ...] = ()
    serve: tuple[str, ...] = ()
    """Paths whose content other servers may pull from here."""
    sources: Mapping[str, PolicySource] = field(default_factory=dict)
    see: tuple[str, ...] = ()
    """Networks that ``see`` may look into, as CIDR."""
    databases: tuple[PolicyDatabase, ...] = ()
    """The databases that it may handle."""
    backups: tuple[PolicyBackups, ...] = ()
    """The backup sets that it may handle."""
    services: tuple[PolicyService, ...] = ()
    """Units that need more than to be named."""
    connect: tuple[PolicyConnect, ...] = ()
    """Files that a program reads its connection from."""
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_output_bytes: int = MAX_OUTPUT_BYTES

    def __post_init__(self) -> None:
        kept = (path for entry in self.backups for path in (entry.path, *entry.paths))
        edited = (path for entry in self.connect for path in (entry.file, entry.template) if path is not None)
        secrets = (entry.password_file for entry in self.databases)
        needed = (path for entry in self.services for path in (*entry.pid_files, *entry.mounts))
        for path in [*(entry.path for entry in self.paths), *self.serve, *kept, *edited, *secrets, *needed]:
            parts = path.split("/")[1:]
            if not path.startswith("/") or not parts[0] or {"", ".", ".."} & set(parts):
                raise ValueError(
                    f"policy of {self.server}: {path!r} must be an absolute path without '.', '..' or '//'"
                )
        for unit in self.units:
            if not _UNIT.fullmatch(unit):
                raise ValueError(f"policy of {self.server}: {unit!r} is no unit name")
        for name, argv in self.commands.items():
            if not argv or not argv[0].startswith("/"):
                raise ValueError(
                    f"policy of {self.server}: command {name!r} must start with the program's absolute path"
                )
        for network in self.see:
            ipaddress.ip_network(network)
        for address in self.addresses:
            ipaddress.ip_address(address.ip)

    def text(self) -> str:
        """The file: keys and lists in a fixed order."""
        value = {
            "site": self.site,
            "server": self.server,
            "addresses": [asdict(address) for address in sorted(self.addresses, key=lambda a: (a.name, a.ip))],
            "units": sorted(set(self.units)),
            "paths": [asdict(path) for path in sorted(set(self.paths))],
            "serve": [{"path": path} for path in sorted(set(self.serve))],
            "sources": {name: asdict(source) for name, source in self.sources.items()},
            "see": sorted({str(ipaddress.ip_network(network)) for network in self.see}),
            "databases": [asdict(entry) for entry in sorted(self.databases, key=lambda entry: entry.name)],
            "backups": [entry.entry() for entry in sorted(self.backups, key=lambda entry: entry.set)],
            "services": [asdict(entry) for entry in sorted(self.services, key=lambda entry: entry.unit)],
            "connect": [entry.entry() for entry in sorted(self.connect, key=lambda entry: entry.file)],
            "commands": {name: list(argv) for name, argv in self.commands.items()},
            "max_output_bytes": self.max_output_bytes,
        }
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @property
    def sha256(self) -> str:
        """Of the file's bytes, as the helper says it in its hello."""
        return hashlib.sha256(self.text().encode()).hexdigest()
