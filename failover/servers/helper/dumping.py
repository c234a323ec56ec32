"""Dumps of a database that another server holds, pulled by this one, as a user who may do nothing here."""

import os
import re
import subprocess
import time
from contextlib import contextmanager
from typing import Any, Iterator, List, Optional

from . import core
from .core import ENVIRONMENT, Answer, Failed, Refused, not_in_policy
from .shelf import Shelf
from .tool import reader

FORMATS = {"postgresql": ("custom", "plain.gz"), "mariadb": ("dump.gz",)}
CONNECT_SECONDS = 10


def dump(shelf: Shelf, source: str, folder: str) -> Answer:
    """Dump the set's database into the folder, which is the dump user's. Tells ``file`` and ``format``."""
    place = shelf.entry.get("from", {}).get(source)
    if place is None:
        raise not_in_policy("source of the set", source, shelf.entry.get("from", {}))
    how = shelf.entry.get("dump")
    if not isinstance(how, dict):
        raise Refused("bad-policy", f"the policy doesn't say how the database of {shelf.name} is dumped")
    database = dict(how, name=str(shelf.entry.get("database")))
    formats = FORMATS.get(database["engine"], ())
    form = shelf.entry.get("format") or (formats[0] if formats else None)
    if form not in formats:
        raise Refused("bad-policy", "a {} can't be dumped as {}".format(database["engine"], form))
    file = f"{folder}/dump"
    shelf.work.begin()
    words = _postgresql if database["engine"] == "postgresql" else _mariadb
    with _password(shelf, database, folder) as passes:
        argv, variables = words(database, place, f"/proc/self/fd/{passes}")
        pipe = [argv + ["--format=custom", "--compress=6"]] if form == "custom" else [argv, ["gzip", "-c"]]
        _run(shelf, pipe, variables, file, passes)
    return {"file": file, "format": form}


def _secret(shelf: Shelf, database: Answer) -> str:
    """The password, from root's file."""
    path = shelf.work.places.root + str(database["password_file"])
    try:
        with open(path) as file:
            return file.readline().rstrip("\n")
    except OSError as error:
        raise Refused("no-password", f"{path}: {core.plain(error)}") from None


@contextmanager
def _password(shelf: Shelf, database: Answer, folder: str) -> Iterator[int]:
    """A descriptor of a file without a name that a client reads the password from; only the dump user can open it."""
    secret = _secret(shelf, database)
    if database["engine"] == "postgresql":
        secret = "*:*:*:*:{}\n".format(re.sub(r"([\\:])", r"\\\1", secret))
    else:
        secret = '[client]\npassword="{}"\n'.format(secret.replace("\\", "\\\\").replace('"', '\\"'))
    fd = os.open(f"{folder}/pass", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.unlink(f"{folder}/pass")
        os.write(fd, secret.encode())
        if os.geteuid() == 0:
            os.fchown(fd, *reader())
        yield fd
    finally:
        os.close(fd)


def _postgresql(database: Answer, place: Answer, passes: str) -> Any:
    argv = [
        "pg_dump", "--no-password", "--lock-wait-timeout=60s", "--host={}".format(place["host"]),
        "--port={}".format(place["port"]), "--username={}".format(database["user"]),
        "--dbname={}".format(database["name"]),
    ]  # fmt: skip
    return argv, {"PGPASSFILE": passes, "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS), "PGAPPNAME": "failover"}


def _mariadb(database: Answer, place: Answer, passes: str) -> Any:
    argv = [
        "mariadb-dump", f"--defaults-extra-file={passes}", "--single-transaction", "--quick", "--routines",
        "--triggers", "--events", "--hex-blob", "--default-character-set=utf8mb4", "--no-tablespaces", "--protocol=tcp",
        "--host={}".format(place["host"]), "--port={}".format(place["port"]), "--user={}".format(database["user"]),
        "--", database["name"],
    ]  # fmt: skip
    return argv, {}


def _run(shelf: Shelf, pipe: List[List[str]], variables: Any, file: str, passes: int) -> None:
    """Run programs one into the next, the last into the file; each has to end well."""
    uid, gid = reader()
    work = shelf.work
    is_root = os.geteuid() == 0
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    errors = os.open(file + ".said", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)

    def become() -> None:
        if is_root:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        core._libc.prctl(core.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        core.die_with_parent()

    running: List["subprocess.Popen[bytes]"] = []
    before: Optional[Any] = None
    try:
        for number, argv in enumerate(pipe):
            last = number == len(pipe) - 1
            try:
                process = subprocess.Popen(
                    argv, stdin=before or subprocess.DEVNULL, pass_fds=(passes,),
                    stdout=fd if last else subprocess.PIPE, stderr=errors,
                    env=dict(ENVIRONMENT, HOME="/nonexistent", **variables), cwd="/", preexec_fn=become,
                )  # fmt: skip
            except OSError as error:
                raise Failed("no-tool", f"{argv[0]} can't be run here: {core.plain(error)}") from None
            if before is not None:
                before.close()
            before = process.stdout
            running.append(process)
        while any(process.poll() is None for process in running):
            work.in_time()
            work.progress(phase="dumping", bytes=os.fstat(fd).st_size)
            time.sleep(0.02)
        failed = [process for process in running if process.returncode]
        if failed:
            said = " ".join(os.pread(errors, 4000, 0).decode("utf-8", "replace").split())
            kind = "no-space" if "No space left" in said else "dump-failed"
            raise Failed(kind, f"{pipe[running.index(failed[0])][0]}: {said[-500:] or 'it ended with an error'}")
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
        os.close(fd)
        os.close(errors)
        os.unlink(file + ".said")
