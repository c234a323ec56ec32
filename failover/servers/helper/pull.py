"""Pulling from a source, as an unprivileged user over SSH."""

import hashlib
import os
import subprocess
import time
from typing import Any, Iterable, List

from .errors import Refused, not_in_policy
from .files import put_file
from .places import ENVIRONMENT
from .policy import content_user
from .processes import PR_SET_NO_NEW_PRIVS, die_with_parent, libc
from .tree import remove_tree
from .work import Work

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
        os.makedirs(self._work.places.run, mode=0o755, exist_ok=True)  # asked before anything was changed here
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
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
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
