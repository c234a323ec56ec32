"""The verb ``fitness``: is this server fit for what its policy speaks of? The powers it needs, the versions it runs.

It changes nothing and is asked all day. A command of the policy whose name ends in ``-version`` is run by it and must
only tell a version: so two servers of a pair can be compared in what only their site knows.
"""

import os
import pwd
import re
import shutil
from typing import Any, Dict, Iterator, List

from .core import ENVIRONMENT, Answer, Args, Refused, Verb, Work, parse_json, plain

NEEDED = {
    "addresses": {"net_admin": 12, "net_raw": 13},
    "paths": {"chown": 0, "dac_override": 1, "fowner": 3, "setgid": 6, "setuid": 7},
    "databases": {"dac_override": 1, "setgid": 6, "setuid": 7},
    "backups": {"chown": 0, "dac_override": 1, "setgid": 6, "setuid": 7},
    "services": {"sys_ptrace": 19},
}
"""Capabilities by what the policy speaks of, with their numbers (linux/capability.h).

Whose socket holds a port is read in ``/proc/PID/fd``, which of another user's process only sys_ptrace may (proc(5)).
"""
TOOLS = {"addresses": ["nft"], "units": ["systemctl"], "paths": ["rsync"]}
PROGRAMS = {
    "nginx": ["nginx", "-v"],
    "apache2": ["apache2", "-v"],
    "httpd": ["httpd", "-v"],
    "postgresql": ["psql", "--version"],
    "mariadb": ["mariadb", "--version"],
    "mysql": ["mysql", "--version"],
}
"""How a unit's program says its version; the last word of a unit's name before ``@`` or ``-`` and ``.service``."""
SECONDS = 3.0
LONGEST_TEXT = 200
LONGEST_POLICY = 512 << 10
_NUMBER = re.compile(r"\d+(?:\.\d+)+")


def ask_fitness(work: Work, _args: Args) -> Answer:
    """What is lacking, each a sentence, the versions of the policy's programs, and the policy itself."""
    with open(work.places.policy, "rb") as file:
        policy = parse_json(file.read(LONGEST_POLICY))
    return {"lacks": list(lacks(work)), "versions": versions(work), "policy": policy}


def lacks(work: Work) -> Iterator[str]:
    """What stands against doing what the policy allows."""
    if os.geteuid() != 0:
        yield f"the helper runs as uid {os.geteuid()}, not as root"
    effective = capabilities()
    for part in sorted(set(NEEDED) | set(TOOLS)):
        if not getattr(work.policy, part):
            continue
        missing = [name for name, number in NEEDED.get(part, {}).items() if not effective >> number & 1]
        if missing:
            yield "the helper has no capability {} for the {} of its policy".format(", ".join(missing), part)
        for tool in TOOLS.get(part, []):
            if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None:
                yield f"there is no program {tool}, which the {part} of the policy need"
    if work.policy.units and shutil.which("systemctl", path=ENVIRONMENT["PATH"]) is not None:
        yield from systemd_lacks(work)
    if work.policy.sources and work.policy.content_user:
        try:
            pwd.getpwnam(work.policy.content_user)
        except KeyError:
            yield f"there is no user {work.policy.content_user}, who pulls content"
    for folder in (work.places.run, work.places.state):
        if os.path.isdir(folder) and not os.access(folder, os.W_OK):
            yield f"{folder} can't be written"


def capabilities() -> int:
    """The effective ones of this process, as a mask."""
    with open("/proc/self/status") as file:
        found = re.search(r"^CapEff:\s*([0-9a-f]+)$", file.read(), re.MULTILINE)
    return int(found.group(1), 16) if found else 0


def systemd_lacks(work: Work) -> Iterator[str]:
    """Whether the manager of units answers."""
    try:
        code, said = work.run(["systemctl", "show", "--property=Version"], within=SECONDS)
    except (OSError, Refused) as error:
        code, said = 1, plain(error)
    if code != 0:
        yield "systemd doesn't answer: {}".format(said.strip()[:LONGEST_TEXT])


def versions(work: Work) -> Dict[str, str]:
    """By program, or by the name of the policy's command."""
    found: Dict[str, str] = {}
    for unit in sorted(work.policy.units):
        name = re.split(r"[@.]", unit)[0]
        if name in PROGRAMS and name not in found:
            said = first_line(work, PROGRAMS[name])
            number = _NUMBER.search(said)
            found[name] = number.group() if number else said
    for name in sorted(work.policy.commands):
        if name.endswith("-version"):
            found[name] = first_line(work, work.policy.commands[name])
    return found


def first_line(work: Work, argv: List[str]) -> str:
    """What a program says of itself; empty where it says nothing, or isn't there."""
    try:
        code, said = work.run(argv, within=SECONDS)
    except (OSError, Refused):
        return ""
    return (said.strip().splitlines() or [""])[0][:LONGEST_TEXT] if code == 0 else ""


ASKS: Dict[str, Any] = {"fitness": Verb(ask_fitness, {}, {})}
