"""The operator's own way into a server, used for enrolling only and kept nowhere.

It is the operator's OpenSSH client with the operator's config, agent, keys and jump hosts, so whatever lets them in by
hand lets them in here; but the server must show exactly the host key that was looked at and agreed to.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from failover.errors import FailoverError
from failover.servers.bounded import NotStarted, TookTooLong, run_bounded
from failover.servers.lines import clean
from failover.servers.pins import HostKey, host_field

PROGRAM = [Path(__file__).with_name(name) for name in ("enroll_items.py", "enroll_program.py")]
MARK = b"#failover-program\n"
READ_PROGRAM = (
    f"import sys; any(line == {MARK!r} for line in sys.stdin.buffer); "
    "exec(compile(sys.stdin.buffer.read(), 'enroll', 'exec'))"
)
"""Skips what sudo left unread of a password that it didn't need."""
REPORT = "failover-report "
PROGRAM_SECONDS = 180.0


class AccessError(FailoverError):
    """The operator's access doesn't lead to a root Python on the server; the sentence says why."""


class Access(Protocol):
    """Something that runs the enrolling program as root on the server."""

    def run(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Run the program with this; its report.

        Raises:
            AccessError: it could not be run, or gave no report.
        """
        ...


@dataclass(frozen=True)
class OpenSshAccess:
    """``--as root@10.77.0.11``, or ``--as lin@10.77.0.11 --sudo``.

    Args:
        target: user and host, for the operator's OpenSSH client.
        port: of sshd.
        host_keys: what the server must show.
        sudo: become root by ``sudo``.
        sudo_password: asks the operator for it, if sudo wants one; it goes to sudo's stdin, nowhere else.
        options: more for the client, such as ``-i FILE`` or ``-J JUMP``.
    """

    target: str
    port: int
    host_keys: Sequence[HostKey]
    sudo: bool = False
    sudo_password: Callable[[], str] | None = None
    options: Sequence[str] = ()

    def run(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Access.run`."""
        python = ["python3", "-I", "-c", READ_PROGRAM]
        secret = b""
        if self.sudo and self.sudo_password is not None:
            python = ["sudo", "-k", "-S", "-p", "", *python]
            secret = self.sudo_password().encode() + b"\n"
        elif self.sudo:
            python = ["sudo", "-n", *python]
        with tempfile.TemporaryDirectory(prefix="failover-enroll-") as folder:
            known_hosts = Path(folder) / "known_hosts"
            host = self.target.rpartition("@")[2]
            names = f"{host_field(host, self.port)},failover-enroll"
            known_hosts.write_text("".join(f"{names} {key}\n" for key in self.host_keys))
            kinds = sorted({kind for key in self.host_keys for kind in _signatures(key.kind)})
            argv = [
                "ssh", "-T", "-p", str(self.port), *self.options,
                "-o", f"UserKnownHostsFile={known_hosts}", "-o", "GlobalKnownHostsFile=/dev/null",
                "-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=failover-enroll",
                "-o", f"HostKeyAlgorithms={','.join(kinds)}", "-o", "UpdateHostKeys=no", "-o", "ControlPath=none",
                "-o", "ForwardAgent=no", "-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no",
                "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
                "--", self.target, shlex.join(python),
            ]  # fmt: skip
            try:
                ended = run_bounded(argv, PROGRAM_SECONDS, stdin=secret + MARK + whole_program(spec), inherit=True)
            except (NotStarted, TookTooLong) as error:
                raise AccessError(f"{self.target}: {error}") from None
        return read_report(self.target, ended.out, f"ssh {ended.sentence()}")


def read_report(target: str, out: str, how: str) -> dict[str, Any]:
    """The report in what the program printed.

    Raises:
        AccessError: there is none; ``how`` it ended is in the sentence.
    """
    last = next((line for line in reversed(out.splitlines()) if line.startswith(REPORT)), None)
    if last is None:
        raise AccessError(f"{target}: {clean(how, 500)}")
    try:
        report = json.loads(last[len(REPORT) :])
    except ValueError:
        report = None
    if not isinstance(report, dict):
        raise AccessError(f"{target}: its report can't be understood: {clean(last, 200)}")
    return report


def whole_program(spec: Mapping[str, Any]) -> bytes:
    """The files of the program in one, and what it shall do."""
    lines = [
        line for path in PROGRAM for line in path.read_text().splitlines() if not line.startswith("from failover.")
    ]
    return "\n".join([*lines, f"main(json.loads({json.dumps(json.dumps(spec))}))", ""]).encode()


def _signatures(kind: str) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)
