"""``failover enroll`` as an operator types it, on the lab's monitor host, with the lab's own config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab import Done, Lab
from tests.lab.fixtures import shared_lab

CONFIG = Path(__file__).parents[2] / "configs" / "lab.yaml"
SERVERS = ("web", "web-backup", "wcm")

pytestmark = pytest.mark.lab
lab = shared_lab("monitor", *SERVERS)

COPY = """
from pathlib import Path
from failover.config.enrollment import key_file, known_hosts_file
from failover.config.load import load
from failover.model import Token
from failover.servers.ssh import SshServer

config = load("/etc/failover/failover.yaml")
site = config.site()

def server(name):
    key = key_file(config, site, name)
    return SshServer(name, site.servers[name].ssh, known_hosts=known_hosts_file(config), key=key)

source, target = server("wcm"), server("web-backup")
wanted = source.ask("manifest", path="/srv/site", within_seconds=20)
args = {"path": "/srv/site", "want": "synced", "source": "wcm", "digest": wanted["digest"], "files": wanted["files"],
        "bytes": wanted["bytes"], "keep": 3, "max_loss_percent": 100, "switch": True}
target.change("content", args, token=Token(1, 1), within_seconds=30)
print(wanted["digest"] == target.ask("manifest", path="/srv/site", within_seconds=20)["digest"])
"""


def failover(lab: Lab, *words: str) -> Done:
    return lab.monitor.run(["failover", "enroll", *words], check=False, timeout=120)


def fingerprints(lab: Lab) -> list[str]:
    shown = [lab[name].run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").out.split()[1] for name in SERVERS]
    return [word for fingerprint in shown for word in ("--host-key", fingerprint)]


def test_an_operator_enrolls_checks_and_removes_a_whole_site(lab: Lab) -> None:
    lab.monitor.write("/etc/failover/failover.yaml", CONFIG.read_text(), mode="640")

    unknown = failover(lab, "wbe")
    assert (unknown.code, unknown.out) == (
        1,
        "wbe: 厦门市统计信息网 has no server 'wbe'; it has web, web-backup, wcm\n",
    )
    assert "name the servers, or say --all" in failover(lab).err

    before = failover(lab, "--check", "web")
    assert before.code == 1
    assert "web: host key web isn't pinned" in before.out

    wrong = failover(lab, "web", "--host-key", "SHA256:wrong")
    assert wrong.code == 1
    assert "was not agreed to; nothing was sent" in wrong.out
    silent = failover(lab, "web")
    assert silent.code != 0, "without a terminal nobody agrees"
    assert "Accepted" not in lab.web.journal()

    done = failover(lab, "--all", *fingerprints(lab))
    assert done.code == 0, done.out + done.err
    assert done.out == "web: as it should be\nweb-backup: as it should be\nwcm: as it should be\n"
    assert "web: pinned the host key ssh-ed25519 SHA256:" in done.err

    again = failover(lab, "--all")
    assert (again.code, again.err) == (0, ""), "nothing changed, nothing asked"
    checked = failover(lab, "--check", "--all", "-o", "json")
    assert json.loads(checked.out) == {name: {"ok": True, "drift": []} for name in SERVERS}

    copied = lab.monitor.run(["env", "PYTHONPATH=/opt/failover/lib", "python3", "-W", "error", "-c", COPY], timeout=60)
    assert copied.out == "True\n", "content moves from host to host with the keys that enrolling made"

    lab.web.run("chmod 777 /usr/libexec/failover-helper")
    spoilt = failover(lab, "--check", "--all")
    assert spoilt.code == 1
    assert "web: file /usr/libexec/failover-helper has mode 0777, not 0755" in spoilt.out
    assert "wcm: as it should be" in spoilt.out

    kept = failover(lab, "--remove", "web")
    assert kept.code != 0, "nobody said yes"
    assert lab.web.exists("/usr/libexec/failover-helper")
    removed = failover(lab, "--remove", "--yes", "web")
    assert removed.code == 0, removed.out + removed.err
    assert not lab.web.exists("/usr/libexec/failover-helper")
    assert failover(lab, "--check", "web").code == 1
