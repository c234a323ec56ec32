"""The kinds of things that enrolling wants on a server, and how each is looked at, made so, and taken away.

Sent to the server in front of ``enroll_program.py``: standard library only, Python 3.6 and later.
"""

import base64
import grp
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from typing import Any, Dict, List, Optional, Tuple

Item = Dict[str, Any]
SECONDS = 60
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_BYTES = 4 << 20


class Trouble(Exception):
    """Something keeps an item from being made so; a sentence."""


def call(*argv: str) -> str:
    """Run a program of the server's; its stdout. Trouble when it fails."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Trouble(f"{argv[0]}: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-500:]
        raise Trouble(f"{' '.join(argv)} ended with exit code {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")


class Kind:
    """What every kind can do."""

    def drift(self, item: Item) -> List[str]:
        """What isn't as wanted, as ends of sentences that start with the item's name."""
        raise NotImplementedError

    def install(self, item: Item) -> None:
        """Make it so; by default only the operator can."""
        raise Trouble("; ".join(self.drift(item)))

    def remove(self, item: Item) -> bool:
        """Take it away; whether there was anything."""
        return False


class Package(Kind):
    """A program that must be there; installing packages is the operator's decision."""

    def drift(self, item: Item) -> List[str]:
        if shutil.which(item["program"], path=PATH):
            return []
        return [f"is missing: install the package {item['package']}"]


class User(Kind):
    """A system account without a password (``*``: not locked, as sshd without PAM would refuse a locked one)."""

    def drift(self, item: Item) -> List[str]:
        try:
            entry = pwd.getpwnam(item["name"])
        except KeyError:
            return ["is missing"]
        said = []
        if entry.pw_uid == 0:
            said.append("is root")
        if entry.pw_dir != item["home"]:
            said.append(f"has the home {entry.pw_dir}, not {item['home']}")
        if entry.pw_shell != "/bin/sh":
            said.append(f"has the shell {entry.pw_shell}; a forced command needs /bin/sh")
        hashed = shadow(item["name"])
        if hashed is not None and hashed != "*":
            said.append("is locked" if hashed[:1] == "!" else "has a password" if hashed else "needs no password")
        groups = [group.gr_name for group in grp.getgrall() if item["name"] in group.gr_mem]
        if groups:
            said.append(f"is a member of {', '.join(groups)}")
        return said

    def install(self, item: Item) -> None:
        try:
            entry = pwd.getpwnam(item["name"])
        except KeyError:
            call(
                "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", item["home"],
                "--shell", "/bin/sh", "--comment", item["comment"], "--password", "*", item["name"],
            )  # fmt: skip
            return
        if entry.pw_uid == 0 or entry.pw_dir != item["home"]:
            raise Trouble(f"exists already for something else (uid {entry.pw_uid}, home {entry.pw_dir})")
        call("usermod", "--shell", "/bin/sh", "--password", "*", "--groups", "", item["name"])

    def remove(self, item: Item) -> bool:
        if self.drift(item) == ["is missing"]:
            return False
        try:
            call("pkill", "-KILL", "-u", item["name"])  # its sessions: userdel refuses an account that is in use
            time.sleep(0.2)
        except Trouble:
            pass  # there was none
        call("userdel", item["name"])
        return True


class Folder(Kind):
    """A folder with its owner and mode."""

    def drift(self, item: Item) -> List[str]:
        if not os.path.lexists(item["path"]):
            return ["is missing"]
        if not stat.S_ISDIR(os.lstat(item["path"]).st_mode):
            return ["is no folder"]
        return rights_differ(item)

    def install(self, item: Item) -> None:
        os.makedirs(item["path"], mode=0o755, exist_ok=True)
        give_rights(item["path"], item)

    def remove(self, item: Item) -> bool:
        if item.get("shared") or not os.path.lexists(item["path"]):
            return False
        shutil.rmtree(item["path"])
        return True


class File(Kind):
    """A file with its bytes. Of several ``texts`` the first that ``accept`` accepts on this server is wanted."""

    def drift(self, item: Item) -> List[str]:
        if not os.path.lexists(item["path"]):
            return ["is missing"]
        if not stat.S_ISREG(os.lstat(item["path"]).st_mode):
            return ["is no file"]
        said = rights_differ(item)
        with open(item["path"], "rb") as there:
            if there.read(MOST_BYTES) != self._wanted(item):
                said.append("differs from what this failover installs")
        return said

    def install(self, item: Item) -> None:
        data = self._wanted(item)
        folder, name = os.path.split(item["path"])
        os.makedirs(folder, mode=0o755, exist_ok=True)
        # A leading dot: neither sudo nor systemd reads the draft as a file of its own.
        handle, draft = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                give_rights(draft, item)
                os.fsync(file.fileno())
            os.replace(draft, item["path"])
        except BaseException:
            os.unlink(draft)
            raise
        self._reload(item)

    def remove(self, item: Item) -> bool:
        there = delete(item["path"])
        if there:
            self._reload(item)
        return there

    @staticmethod
    def _reload(item: Item) -> None:
        if item.get("reload"):
            call("systemctl", "daemon-reload")

    def _wanted(self, item: Item) -> bytes:
        for text in item["texts"]:
            data = base64.b64decode(text)
            if not item.get("accept") or self._accepted(item, data):
                return data
        raise Trouble(f"{item['accept'][0]} accepts no form of it")

    def _accepted(self, item: Item, data: bytes) -> bool:
        with tempfile.NamedTemporaryFile(prefix="failover-draft-") as draft:
            draft.write(data)
            draft.flush()
            os.chmod(draft.name, item["mode"])
            try:
                call(*item["accept"], draft.name)
            except Trouble:
                return False
            return True


class Trace(Kind):
    """What is left behind at work: nothing to install, but to be taken away."""

    def drift(self, item: Item) -> List[str]:
        return []

    def remove(self, item: Item) -> bool:
        if os.path.isdir(item["path"]):
            shutil.rmtree(item["path"])
            return True
        return delete(item["path"])


class KeyPair(Kind):
    """A key pair that is made here and never leaves; its public half is reported."""

    def drift(self, item: Item) -> List[str]:
        if not os.path.lexists(item["path"]) or not os.path.lexists(item["path"] + ".pub"):
            return ["is missing"]
        return rights_differ(item)

    def install(self, item: Item) -> None:
        if self.drift(item) == ["is missing"]:
            self.remove(item)
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", item["comment"], "-f", item["path"])
        give_rights(item["path"], item)

    def remove(self, item: Item) -> bool:
        return delete(item["path"], item["path"] + ".pub")


def shadow(name: str) -> Optional[str]:
    """The account's password field; None where it can't be read."""
    try:
        with open("/etc/shadow", encoding="utf-8", errors="replace") as lines:
            return next((line.split(":")[1] for line in lines if line.split(":")[0] == name), None)
    except OSError:
        return None


def rights(path: str) -> Tuple[str, int]:
    """``user:group`` and the mode of what lies there itself."""
    info = os.lstat(path)
    try:
        owner = f"{pwd.getpwuid(info.st_uid).pw_name}:{grp.getgrgid(info.st_gid).gr_name}"
    except KeyError:
        owner = f"{info.st_uid}:{info.st_gid}"
    return owner, stat.S_IMODE(info.st_mode)


def rights_differ(item: Item) -> List[str]:
    """How owner and mode of what is there differ from what is wanted."""
    owner, mode = rights(item["path"])
    said = [] if owner == item["owner"] else [f"belongs to {owner}, not {item['owner']}"]
    return said if mode == item["mode"] else [*said, f"has mode {mode:04o}, not {item['mode']:04o}"]


def give_rights(path: str, item: Item) -> None:
    """Give it the wanted owner and mode."""
    user, _, group = item["owner"].partition(":")
    shutil.chown(path, user, group)
    os.chmod(path, item["mode"])


def delete(*paths: str) -> bool:
    """Unlink them; whether any was there."""
    there = [path for path in paths if os.path.lexists(path)]
    for path in there:
        os.unlink(path)
    return bool(there)
