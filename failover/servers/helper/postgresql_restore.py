"""PostgreSQL 10 and later, filled from a backup: a dump in any of its formats, or a base backup.

A dump is SQL that somebody else wrote. Custom and directory dumps go through ``pg_restore``, which sends it to the
server and does nothing else. A plain one goes through psql, whose own commands could run programs (CVE-2025-8714):
only through one that knows ``\\restrict``, and as a process that may start no other and write no file.
"""

import os
import re
import subprocess
from binascii import hexlify
from typing import Callable, Dict, Iterator, List, Set, Tuple

from .client import Said, in_one_line
from .core import LONGEST_SECONDS, Answer, Refused
from .engine import Disk, Source, Unfit
from .postgresql import literal, major, programs_folder, quoted
from .postgresql_copy import unpacked
from .postgresql_sessions import PostgreSQLSessions
from .scratch import Scratch

RESTRICT_SINCE = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}
"""The minor version of each major one that brought ``\\restrict``; from 18 on all have it."""
HOLE_UNTIL = {14: 24, 15: 19, 16: 15, 17: 11, 18: 6}
"""The minor version of each that mended CVE-2026-18408, by which a dump could lift it."""
PLAIN_END = b"-- PostgreSQL database dump complete"
LOCALE = re.compile(
    r"WITH TEMPLATE = template0((?: (?:ENCODING|LOCALE|LC_COLLATE|LC_CTYPE|ICU_LOCALE|BUILTIN_LOCALE) = '[^'\\]*'"
    r"| LOCALE_PROVIDER = [a-z]+)*);"
)
NOT_OURS = re.compile(
    r"\d+; \d+ \d+ (?:COMMENT - (?:EXTENSION |SCHEMA public )|PUBLICATION|SUBSCRIPTION|EVENT TRIGGER)"
)
"""What only a superuser may set, and no site lives by."""
RIGHTS = re.compile(r"\d+; \d+ \d+ (?:ACL|DEFAULT ACL) ")
SPACE = ("No space left on device", "could not extend file", "Disk quota")


class PostgreSQL(PostgreSQLSessions):
    """See :class:`Engine`."""

    # looking at a backup --------------------------------------------------------------------------------------------

    def preflight(self, source: Source) -> None:
        """See :class:`Engine`."""
        here, made_on = self.version(), str(source.record.get("server_version") or "")
        if source.format in ("custom", "directory"):
            listed = self.listed(source)
            header = [re.match(r";\s+Dumped from database version: (\S+)", line) for line in listed]
            made_on = next((match.group(1) for match in header if match is not None), made_on)
            self._extensions(listed)
        if source.format == "base":
            if not made_on or programs_folder(major(made_on), "postgres") is None:
                raise Unfit("wrong-version", f"it is a cluster of PostgreSQL {made_on}, whose programs aren't here")
        elif made_on and major(made_on) > major(here):
            raise Unfit("wrong-version", f"it was made on PostgreSQL {made_on}; this server is {here}, which is older")
        if source.format == "plain.gz":
            self._psql_version()

    def archive(self, source: Source, options: List[str]) -> Said:
        """Ask ``pg_restore`` something of a dump that needs no server."""
        argv = [self.program("pg_restore"), *options]
        if os.path.isdir(source.path):
            return self.client.run([*argv, source.path], within=600, groups=self.client.groups_for(source.path))
        with open(source.path, "rb") as file:
            return self.client.run(argv, file, within=600)

    def _lines(self, source: Source, options: List[str]) -> List[str]:
        said = self.archive(source, options)
        if said.code:
            words = in_one_line(said.err)
            kind = "wrong-version" if "unsupported version" in words else "bad-backup"
            raise Unfit(kind, f"pg_restore can't read it: {words}")
        return said.out.splitlines()

    def listed(self, source: Source) -> List[str]:
        """The table of contents of a dump.

        Raises:
            Unfit: ``bad-backup``, ``wrong-version``.
        """
        return self._lines(source, ["--list"])

    def schema(self, source: Source, *more: str) -> List[str]:
        """The text of a dump, without its data."""
        return self._lines(source, ["--schema-only", "--file=-", *more])

    def _extensions(self, listed: List[str]) -> None:
        """Those that the backup needs can be made here (B7)."""
        wanted = {line.split(" EXTENSION - ")[1].split()[0] for line in listed if " EXTENSION - " in line
                  and "COMMENT - EXTENSION" not in line}  # fmt: skip
        if not wanted:
            return
        trusted = "trusted" if major(self.version()) >= (13,) else "false"
        known: Dict[str, bool] = {}
        query = (
            f"SELECT name, bool_or({trusted} OR NOT superuser) AS may FROM pg_available_extension_versions GROUP BY 1"
        )
        for row in self.rows(query):
            known[row["name"]] = row["may"]
        for name in sorted(wanted):
            if name not in known:
                raise Unfit("no-extension", f"it needs the extension {name}, which isn't installed on this server")
            if not known[name]:
                how = f"an administrator adds 'trusted = true' to {name}.control, or makes it in a dump without it"
                raise Unfit("no-extension", f"it needs the extension {name}, which only a superuser may make: {how}")

    def _psql_version(self) -> Tuple[int, int]:
        """Of the psql that would read a plain dump.

        Raises:
            Unfit: ``unsafe-tool``: nothing would keep a dump from running programs by it.
        """
        said = self.client.run([self.program("psql"), "--version"]).out
        numbers = [int(number) for number in re.findall(r"\d+", said)[:2]] + [0, 0]
        if numbers[1] < RESTRICT_SINCE.get(numbers[0], 0 if numbers[0] >= 18 else 1 << 30):
            raise Unfit(
                "unsafe-tool",
                f"a plain dump can hold commands of psql, which psql {numbers[0]}.{numbers[1]} can't be kept from: "
                "a newer minor version knows \\restrict; dumps in the custom format need none of this",
            )
        return numbers[0], numbers[1]

    # making it ------------------------------------------------------------------------------------------------------

    def create(self, into: str, source: Source, note: Answer) -> None:
        """See :class:`Engine`. Its encoding and locale are those of the backup, or else of the one that serves (B8)."""
        options = self._locale(source)
        order = f"CREATE DATABASE {quoted(into)} OWNER {quoted(self.owner)} TEMPLATE template0{options};"
        try:
            self.sql(order, within=LONGEST_SECONDS)
        except Refused as error:
            if re.search("locale|encoding|collat", str(error)):
                raise Unfit(
                    "no-locale", f"this server can't have a database like that in the backup: {error}"
                ) from None
            raise
        self.set_note(into, note)

    def _locale(self, source: Source) -> str:
        if source.format in ("custom", "directory"):
            for line in self.schema(source, "--create"):
                match = LOCALE.search(line) if line.startswith("CREATE DATABASE ") else None
                if match is not None:
                    return match.group(1)
        icu = "d.datlocprovider = 'i'" if major(self.version()) >= (15,) else "false"
        query = (
            f"SELECT pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, d.datctype AS ctype, {icu}"
            f" AS icu FROM pg_database d WHERE d.datname = {literal(self.name)}"
        )
        rows = self.rows(query)
        if not rows or rows[0]["icu"]:
            return " ENCODING 'UTF8'" if not rows else ""
        form = " ENCODING {} LC_COLLATE {} LC_CTYPE {}"
        return form.format(*(literal(rows[0][key]) for key in ("encoding", "collate", "ctype")))

    def unpacked(self, source: Source, scratch: Scratch) -> Tuple[Source, Dict[str, int]]:
        """See :class:`Engine`."""
        return unpacked(self, source, scratch)

    def restore(self, source: Source, into: str, disk: Disk, progress: Callable[..., None]) -> List[str]:
        """See :class:`Engine`."""
        if source.format == "plain.gz":
            return self._plain(source, into, disk, progress)
        return self._archive(source, into, disk, progress)

    # custom, directory ----------------------------------------------------------------------------------------------

    def _archive(self, source: Source, into: str, disk: Disk, progress: Callable[..., None]) -> List[str]:
        warnings: List[str] = []
        listed = [line for line in self.listed(source) if not NOT_OURS.match(line)]
        rights = self._rights(source)
        missing = {role for _, roles in rights for role in roles} - self._roles()
        if missing:
            listed = [line for line in listed if not RIGHTS.match(line)]
            named = ", ".join(sorted(missing))
            warnings.append(f"what was granted to {named} is left out: no such role is on this server")
        argv = [self.program("pg_restore"), "--exit-on-error", "--no-owner", "--no-tablespaces"]
        argv += ["--role", self.owner, "--dbname", into, *self.place()]
        argv.append("--use-list=" + self.client.put("contents", "\n".join(listed) + "\n"))
        groups = self.client.groups_for(source.path)
        by_name = os.path.isdir(source.path) or self.client.can_read(source.path)
        jobs = min(4, os.cpu_count() or 1)
        if by_name:
            process = self.client.start(
                [*argv, f"--jobs={jobs}", source.path], self.environment(), groups=groups, stdout=subprocess.DEVNULL
            )
        else:  # only root can open it, and several jobs would each have to
            with open(source.path, "rb") as file:
                process = self.client.start(argv, self.environment(), file, stdout=subprocess.DEVNULL, alone=True)
        self._judge(self.client.pump(process, tick=self._watch(into, disk, progress)), "pg_restore")
        if missing:
            kept = [order for order, roles in rights if not roles & missing]
            self.sql("\n".join([f"SET ROLE {quoted(self.owner)};", *kept]), into, 300)
        return warnings

    def _rights(self, source: Source) -> List[Tuple[str, Set[str]]]:
        """Orders that grant something, and to whom."""
        found: List[Tuple[str, Set[str]]] = []
        is_rights = False
        for line in self.schema(source):
            if line.startswith("-- Name: "):
                is_rights = bool(re.search(r"; Type: (DEFAULT )?ACL; ", line))
            elif is_rights and re.match(r"(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) ", line):
                match = re.search(r" (?:TO|FROM) ((?:\"(?:[^\"]|\"\")*\"|[^\" ;]+))(?: WITH GRANT OPTION)?;\Z", line)
                role = match.group(1) if match is not None else "PUBLIC"
                name = role[1:-1].replace('""', '"') if role.startswith('"') else role
                found.append((line, {name} - {"PUBLIC"}))
        return found

    def _roles(self) -> Set[str]:
        return {row["role"] for row in self.rows("SELECT rolname AS role FROM pg_roles")}

    def _watch(self, into: str, disk: Disk, progress: Callable[..., None]) -> Callable[[], None]:
        """What is looked after while it fills: the disk, and how far it is."""
        folder = self.data_folder()
        began = disk.free(folder) if folder else 0

        def tick() -> None:
            disk.look()
            progress(phase="restoring", into=into, bytes=max(0, began - disk.free(folder)) if folder else 0)

        return tick

    def _judge(self, said: Said, program: str) -> None:
        if said.code == 0:
            return
        words = in_one_line(re.sub(r"psql:<stdin>:(\d+): ", r"line \1: ", said.err)) or f"it ended with {said.code}"
        if any(sign in said.err for sign in SPACE):
            raise Unfit("no-space", f"the database's disk is full: {words}")
        raise Unfit("bad-backup", f"{program}: {words}")

    # plain ----------------------------------------------------------------------------------------------------------

    def _plain(self, source: Source, into: str, disk: Disk, progress: Callable[..., None]) -> List[str]:
        version = self._psql_version()
        argv = [*self.psql(into), "--single-transaction"]
        process = self.client.start(argv, self.environment(), subprocess.PIPE, stdout=subprocess.DEVNULL, alone=True)
        said = self.client.pump(process, self._text(source), self._watch(into, disk, progress))
        if "backslash commands are restricted" in said.err:
            raise Unfit("hostile-backup", f"it holds a command for psql, which none has: {in_one_line(said.err)}")
        self._judge(said, "psql")
        if version[1] < HOLE_UNTIL.get(version[0], 0):
            mended = f"{version[0]}.{HOLE_UNTIL[version[0]]}"
            return [f"psql {version[0]}.{version[1]} has a known hole (CVE-2026-18408) that {mended} mends: upgrade it"]
        return []

    def _text(self, source: Source) -> Iterator[bytes]:
        """The dump, behind a restriction whose key it can't know; its own, which would be one too many, is left out."""
        key, own, ended, begun = hexlify(os.urandom(16)), b"", False, False
        yield b"\\restrict " + key + b"\n"
        yield b"SET ROLE " + quoted(self.owner).encode() + b";\n"
        with open(source.path, "rb") as file:
            for line in self.client.lines(["gzip", "-dc"], file):
                if not begun and line.startswith(b"\\restrict ") and not own:
                    own = line[10:].strip()
                    continue
                begun = begun or bool(line.strip()) and not line.startswith(b"--")
                if own and line.startswith(b"\\unrestrict ") and line[12:].strip() == own:
                    continue
                ended = ended or line.startswith(PLAIN_END)
                yield line
        if not ended:
            raise Unfit("bad-backup", f"it ends in the middle: '{PLAIN_END.decode()[3:]}' is missing")
