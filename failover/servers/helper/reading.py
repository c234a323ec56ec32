"""What a file that may be a backup is, told by its bytes and never by its name, and whether it can be read to its end.

A dump comes from elsewhere: the tools that read it run as a user who may do nothing, get it as their standard input,
and may write no file. Listing is not enough: ``pg_restore --list`` reads the head of a dump only, and of a pipe that
broke, ``mysqldump | gzip``, a sound gzip file is left. So all of it is read, and its last words are looked at.
"""

import hashlib
import json
import os
import re
import stat
import zlib
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from . import core
from .core import Answer, Listing, Refused, Tree, Work
from .rows import mariadb_rows, postgresql_rows
from .tool import CHUNK_BYTES, Tool, Unsound

HEAD_BYTES = 4096
SERVER_BIN = "/usr/lib/postgresql"
MANIFEST_MEMBER = "failover-manifest.json"

Kind = NamedTuple("Kind", [("format", Optional[str]), ("engine", Optional[str]), ("why", str)])
"""``why`` says what is wrong where the format is None."""


# ---------------------------------------------------------------------------------------------------------------------
# what it is


def recognise(path: str) -> Kind:
    """By its first bytes, and for a folder by the files that only such a backup has. Follows no symlink."""
    info = os.lstat(path)
    if stat.S_ISDIR(info.st_mode):
        return _folder_kind(path)
    if not stat.S_ISREG(info.st_mode):
        return Kind(None, None, "it is neither a file nor a folder")
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        head = os.read(fd, HEAD_BYTES)
    finally:
        os.close(fd)
    if not head:
        return Kind(None, None, "it is empty")
    if head[:5] == b"PGDMP":
        return Kind("custom", "postgresql", "")
    if head[:2] == b"\x1f\x8b":
        return _packed_kind(head)
    if head[:8] == b"XBSTCK01":
        return Kind(None, "mariadb", "it is a stream of mariadb-backup; unpack it into a folder with mbstream -x")
    if head[257:262] == b"ustar":
        return Kind(None, None, "it is a tar that isn't compressed")
    if _words(head) is not None:
        return Kind(None, _words(head), "it is a dump in plain text; compress it with gzip")
    return Kind(None, None, "it is no backup that is known here: it begins with {!r}".format(head[:8]))


def _folder_kind(path: str) -> Kind:
    names = set(os.listdir(path))
    if "toc.dat" in names:
        return Kind("directory", "postgresql", "")
    if names & {"xtrabackup_checkpoints", "mariadb_backup_checkpoints"}:
        return Kind("mariadb-backup", "mariadb", "")
    if "backup_manifest" in names and "PG_VERSION" in names:
        return Kind("base", "postgresql", "")
    if "PG_VERSION" in names:
        return Kind(None, "postgresql", "it is a base backup without backup_manifest: nothing proves that it is whole")
    return Kind(None, None, "it is a folder that holds no backup that is known here" if names else "it is empty")


def _packed_kind(head: bytes) -> Kind:
    try:
        inside = zlib.decompressobj(31).decompress(head, HEAD_BYTES)
    except zlib.error as error:
        return Kind(None, None, f"it begins like gzip and isn't: {error}")
    if inside[257:262] == b"ustar":
        return Kind("tar.gz", None, "")
    if inside[:5] == b"PGDMP":
        return Kind(None, "postgresql", "it is a custom dump that was compressed once more; unpack it with gunzip")
    engine = _words(inside)
    if engine == "postgresql":
        return Kind("plain.gz", engine, "")
    if engine == "mariadb":
        return Kind("dump.gz", engine, "")
    what = "nothing" if not inside else "{!r}".format(inside[:8])
    return Kind(None, None, f"it is gzip, and what is in it is no backup that is known here: it begins with {what}")


def _words(head: bytes) -> Optional[str]:
    """Whose plain dump begins so."""
    if b"-- PostgreSQL database dump" in head[:200]:
        return "postgresql"
    return "mariadb" if re.search(rb"^-- (MariaDB|MySQL) dump", head[:400], re.MULTILINE) else None


# ---------------------------------------------------------------------------------------------------------------------
# whether it is whole


def read(work: Work, path: str, kind: Kind) -> Answer:
    """Read all of it.

    Returns:
        ``bytes``, ``sha256``, ``engine``, ``server_version``, ``tool_version`` and ``tables`` (rows by table, or None).

    Raises:
        Unsound: it is no good.
        Refused: it can't be told: a tool is missing, time is over.
    """
    if kind.format is None:
        raise Unsound(kind.why)
    found: Answer = {"engine": kind.engine, "server_version": None, "tool_version": None, "tables": None}
    found.update(READERS[kind.format](work, path))
    found.update(checksum(work, path))
    return found


def checksum(work: Work, path: str) -> Answer:
    """``bytes`` and ``sha256`` of a file; for a folder those of its manifest's canonical form, names included."""
    if os.path.isdir(path) and not os.path.islink(path):
        tree = Tree(path)
        try:
            listing = Listing(work, tree, core.Inodes("/nonexistent"))
            return {"bytes": listing.manifest.bytes, "sha256": listing.digest}
        finally:
            tree.close()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    digest, size = hashlib.sha256(), 0
    try:
        while True:
            data = os.read(fd, CHUNK_BYTES)
            if not data:
                return {"bytes": size, "sha256": digest.hexdigest()}
            digest.update(data)
            size += len(data)
            work.progress(phase="checksum", bytes=size)
    finally:
        os.close(fd)


def _custom(work: Work, path: str) -> Answer:
    found = _listed(work, path)
    with Tool(work, _on(path, ["pg_restore", "--file=-"]), path) as tool:
        found["tables"] = postgresql_rows(tool.lines(work))
    return found


def _listed(work: Work, path: str) -> Answer:
    """What ``pg_restore --list`` says of a dump."""
    versions: Answer = {}
    tables = 0
    with Tool(work, _on(path, ["pg_restore", "--list"]), path) as tool:
        for line in tool.lines(work):
            match = re.match(rb";\s+Dumped (from database|by pg_dump) version: (\S+)", line)
            if match is not None:
                key = "server_version" if match.group(1) == b"from database" else "tool_version"
                versions[key] = match.group(2).decode("ascii", "replace")
            tables += b" TABLE DATA " in line
    if not tables:
        raise Unsound("its list names no table")
    return versions


def _on(path: str, argv: List[str]) -> List[str]:
    """A dump in a file is standard input, one in a folder has to be named."""
    return argv + [path] if os.path.isdir(path) else argv


def _plain(work: Work, path: str) -> Answer:
    with Tool(work, ["gzip", "-dc"], path) as tool:
        head, tail, lines = _kept(tool.lines(work))
        rows = postgresql_rows(lines)
    if b"-- PostgreSQL database dump complete" not in tail():
        raise Unsound("it ends in the middle: 'PostgreSQL database dump complete' is missing")
    versions = re.search(rb"-- Dumped from database version (\S+)[^\n]*\n-- Dumped by pg_dump version (\S+)", head())
    answer: Answer = {"tables": rows}
    if versions is not None:
        answer.update(server_version=versions.group(1).decode(), tool_version=versions.group(2).decode())
    return answer


def _dump(work: Work, path: str) -> Answer:
    with Tool(work, ["gzip", "-dc"], path) as tool:
        head, tail, lines = _kept(tool.lines(work))
        rows = mariadb_rows(lines)
    if b"-- Dump completed" not in tail():
        raise Unsound("it ends in the middle: 'Dump completed' is missing")
    server = re.search(rb"-- Server version\s+(\S+)", head())
    client = re.search(rb"Distrib (\S+?),", head())
    return {
        "tables": rows,
        "server_version": server.group(1).decode("ascii", "replace") if server else None,
        "tool_version": client.group(1).decode("ascii", "replace") if client else None,
    }


def _kept(lines: Iterable[bytes]) -> Tuple[Any, Any, Iterable[bytes]]:
    """The lines, and afterwards the first and the last of them."""
    first: List[bytes] = []
    last: List[bytes] = []

    def through() -> Iterable[bytes]:
        for line in lines:
            if len(first) < 40:
                first.append(line[:500])
            last.append(line[-500:])
            if len(last) > 40:
                del last[:20]
            yield line

    return (lambda: b"\n".join(first)), (lambda: b"\n".join(last)), through()


def _archive(work: Work, path: str) -> Answer:
    names = 0
    wanted: Optional[int] = None
    with Tool(work, ["tar", "-tzf", "-"], path) as tool:
        for _ in tool.lines(work):
            names += 1
    if not names:
        raise Unsound("nothing is in it")
    with Tool(work, ["tar", "-xzOf", "-", "--occurrence=1", MANIFEST_MEMBER], path, fine=(0, 2)) as tool:
        text = b"\n".join(tool.lines(work))
    if text:
        try:
            wanted = int(json.loads(text.decode())["entries"])
        except (ValueError, KeyError, TypeError):
            raise Unsound(f"its {MANIFEST_MEMBER} can't be understood") from None
        if names != wanted + 1:
            raise Unsound(f"it holds {names - 1} entries, and {wanted} were packed")
    return {}


def _base(work: Work, path: str) -> Answer:
    with open(os.path.join(path, "PG_VERSION"), "rb") as file:
        version = file.read(20).decode("ascii", "replace").strip()
    program = f"{SERVER_BIN}/{version}/bin/pg_verifybackup"
    if not re.match(r"\d+(\.\d+)?\Z", version) or not os.path.exists(program):
        raise Refused("no-tool", f"it is of PostgreSQL {version[:20]}, and {program} isn't here to verify it with")
    with Tool(work, [program, "--quiet", path], path) as tool:
        for _ in tool.lines(work):
            pass
    return {"server_version": version}


def _mariadb_backup(_: Work, path: str) -> Answer:
    def of(*names: str) -> Dict[str, str]:
        for name in names:
            try:
                fd = os.open(os.path.join(path, name), os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            with open(fd, "rb") as file:
                lines = file.read(65536).decode("utf-8", "replace").splitlines()
            return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
        raise Unsound(f"it has no {names[0]}: it wasn't brought to its end")

    points = of("xtrabackup_checkpoints", "mariadb_backup_checkpoints")
    info = of("xtrabackup_info", "mariadb_backup_info")
    if points.get("backup_type") not in ("full-backuped", "full-prepared", "log-applied"):
        kind = points.get("backup_type")
        raise Unsound(f"it is no full backup: its type is {kind!r}")
    for name in ("ibdata1", "backup-my.cnf"):
        if not os.path.isfile(os.path.join(path, name)) or not os.path.getsize(os.path.join(path, name)):
            raise Unsound(f"{name} is missing in it, or empty")
    return {"server_version": info.get("server_version"), "tool_version": info.get("tool_version")}


READERS = {
    "custom": _custom,
    "directory": _custom,
    "plain.gz": _plain,
    "dump.gz": _dump,
    "tar.gz": _archive,
    "base": _base,
    "mariadb-backup": _mariadb_backup,
}
