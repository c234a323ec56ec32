"""What may be touched on this server, as root wrote it."""

import hashlib
import ipaddress
import os
import re
import stat
from typing import Dict, List, Optional, Tuple

from .errors import Answer, Refused, not_in_policy
from .places import MAX_LINE_BYTES, Places
from .values import is_int, parse_json
from .words import plain


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


def name_of(path: str) -> str:
    """What a content path is called in our own folders and on the way between servers, where nothing needs quoting."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]


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


def owner_of(entry: Answer) -> Tuple[int, int]:
    """Whose the content of a path is."""
    import grp
    import pwd

    try:
        uid = pwd.getpwnam(entry["owner"]).pw_uid if entry.get("owner") else 0
        return uid, grp.getgrnam(entry["group"]).gr_gid if entry.get("group") else 0
    except KeyError as error:
        raise Refused("no-owner", f"{entry['path']} shall belong to somebody unknown here: {error}") from None
