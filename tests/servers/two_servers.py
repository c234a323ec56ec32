"""A source and a destination on one machine: two helpers whose content lies at the same path, and a real sshd between.

The source sees another folder at that path, in a mount namespace of its own; its sshd's forced command is the helper's
``serve-content``, as on a real server. What is pulled is pulled as an unprivileged user.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.speak import HELPER, Home, Speaker
from tests.servers.sshd import ME, Sshd, make_key

PULLER = "nobody"


class TwoServers:
    """``source`` is where the source's content really lies, ``path`` the path of both servers."""

    def __init__(self, top: Path, *, python: str = sys.executable, **policy: Any) -> None:
        self.top, self.python = top, python
        (top / "live").mkdir()
        self.path = top / "live" / "site"
        self.source = top / "source" / "site"
        self.source.mkdir(parents=True)
        self.from_home = Home(_made(top / "from"), serve=[{"path": str(self.path)}], content_user=None)
        self.within = ["unshare", "-m", "sh", "-c", f'mount --bind {top / "source"} {top / "live"} && exec "$@"', "sh"]
        self.asked = top / "asked"
        serve = shlex.join(
            [*self.within, python, "-IS", str(HELPER), "--root", str(self.from_home.root), "serve-content"]
        )
        script = top / "serve"
        script.write_text(f'#!/bin/sh\necho "$SSH_ORIGINAL_COMMAND" >> {self.asked}\nexec {serve}\n')
        script.chmod(0o755)
        self.sshd = Sshd(_made(top / "sshd"), forced=str(script))
        self.to_home = Home(_made(top / "to"))
        self.to_home.state.mkdir()
        key = make_key(self.to_home.state / "content_key")
        shutil.chown(key, PULLER)
        self.sshd.allow(key.with_suffix(".pub"))
        self.sshd.start()
        self.policy(**policy)

    def policy(self, **changes: Any) -> None:
        """Write the destination's policy."""
        host_key = " ".join(self.sshd.host_key.with_suffix(".pub").read_text().split()[:2])
        source = {"ssh": "127.0.0.1", "port": self.sshd.port, "user": ME, "host_key": host_key}
        paths = [{"path": str(self.path), "owner": "daemon", "group": "daemon"}]
        self.to_home.write_policy(**{"paths": paths, "sources": {"wcm": source}, "content_user": PULLER, **changes})

    def manifest(self) -> dict[str, Any]:
        """What the source has now."""
        with Speaker(self.from_home, self.within, self.python) as speaker:
            reply = speaker.ask("manifest", path=str(self.path), within=120)
        assert "result" in reply, reply
        result: dict[str, Any] = reply["result"]
        return result

    def wish(self, manifest: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The arguments of a change that copies what the source has."""
        has = manifest or self.manifest()
        wanted = {key: has[key] for key in ("digest", "files", "bytes")}
        return {"path": str(self.path), "want": "synced", "source": "wcm", **wanted, **more}

    def sync(self, speaker: Speaker, manifest: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Copy; the reply."""
        return speaker.change("content", self.wish(manifest, **more), seconds=120)

    def speaker(self) -> Speaker:
        """A helper process of the destination."""
        return Speaker(self.to_home, python=self.python)


def _made(path: Path) -> Path:
    path.mkdir()
    return path


@contextmanager
def two_servers(**policy: Any) -> Iterator[TwoServers]:
    """Both, in a folder that the unprivileged user may enter; removed at the end."""
    top = Path(tempfile.mkdtemp(prefix="two", dir=os.environ.get("FAILOVER_TEST_DISK")))
    top.chmod(0o755)
    made = TwoServers(top, **policy)
    try:
        yield made
    finally:
        made.sshd.stop()
        shutil.rmtree(top)
