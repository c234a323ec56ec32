"""A base backup of PostgreSQL, opened as a cluster of its own that nobody else can reach."""

import os
import subprocess
from typing import Dict, Tuple

from .client import in_one_line
from .engine import Down, Source, Unfit
from .postgresql import PostgreSQLServer, major, programs_folder
from .scratch import Scratch

CLUSTER = """listen_addresses = ''
unix_socket_directories = '{folder}'
unix_socket_permissions = 0700
hba_file = '{folder}/access'
ident_file = '{folder}/names'
fsync = off
full_page_writes = off
autovacuum = off
archive_mode = off
wal_level = minimal
max_wal_senders = 0
max_connections = 20
shared_buffers = 64MB
dynamic_shared_memory_type = mmap
logging_collector = off
shared_preload_libraries = ''
"""


class Copy(PostgreSQLServer):
    """The cluster of a base backup, which nobody else can reach: it asks for no password."""

    def __init__(self, original: PostgreSQLServer, folder: str) -> None:
        entry = dict(original.entry, host=folder, port=5432)
        super().__init__(original.work, entry, original.client)

    def password(self) -> str:
        """None is asked for."""
        return "-"

    def answers(self) -> bool:
        """Whether it is open.

        Raises:
            Unfit: ``bad-backup``: it is, and our account isn't in it.
        """
        try:
            return bool(self.version())
        except Down as error:
            if "does not exist" in str(error):
                raise Unfit("bad-backup", f"the copy in it can't be dumped: {error}") from None
            return False


def unpacked(server: PostgreSQLServer, source: Source, scratch: Scratch) -> Tuple[Source, Dict[str, int]]:
    """A base backup is verified, opened as a cluster of its own, and dumped from there.

    Returns the dump, and the rows that were counted in the copy.

    Raises:
        Unfit: ``bad-backup``, ``no-space``.
    """
    version = major(str(source.record.get("server_version") or ""))
    programs = programs_folder(version, "postgres")
    scratch.fill(source.path)
    if os.listdir(scratch.data + "/pg_tblspc"):
        raise Unfit("bad-backup", "it has tablespaces, which lie outside of it")
    scratch.run([f"{programs}/pg_verifybackup", "--quiet", scratch.data], "pg_verifybackup")
    for name in ("postgresql.auto.conf", "standby.signal", "recovery.signal", "postmaster.pid"):
        if os.path.exists(f"{scratch.data}/{name}"):
            os.unlink(f"{scratch.data}/{name}")  # settings of another server, some of which start programs
    config = scratch.put("settings", CLUSTER.format(folder=scratch.folder))
    scratch.put("access", "local all all trust\n")
    scratch.put("names", "")
    there = Copy(server, scratch.folder)
    argv = [f"{programs}/postgres", "-D", scratch.data, "-c", f"config_file={config}"]
    scratch.serve(argv, there.answers)
    tables = there.tables(server.name)
    dump = scratch.folder + "/dump"
    jobs = min(4, os.cpu_count() or 1)
    argv = [f"{programs}/pg_dump", "--format=directory", "--compress=1", f"--jobs={jobs}", f"--file={dump}"]
    said = server.client.pump(
        server.client.start([*argv, *there.place(), "--dbname", server.name], stdout=subprocess.DEVNULL, writes=True),
        tick=scratch.disk.look,
    )
    if said.code:
        raise Unfit("bad-backup", f"pg_dump of the copy: {in_one_line(said.err)}")
    scratch.stop()
    return Source(dump, "directory", source.bytes, source.record), tables
