"""Enrolling real hosts through a real operator's access, what drifts, and what a stolen key is worth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.fixtures import shared_lab

ON_MONITOR = Path(__file__).with_name("on_monitor.py").read_text()
KEY = "/etc/failover/keys/bureau/web"
STOLEN = "/root/stolen-key"
POLICY = "/etc/failover-helper/policy.json"
HELPER = "/usr/libexec/failover-helper"
SUDOERS = "/etc/sudoers.d/failover-helper"
DOOR = "/etc/failover-helper/home/failover/.ssh/authorized_keys"

pytestmark = pytest.mark.lab
lab = shared_lab("monitor", "web", "wcm")


def do(lab: Lab, what: str, server: str = "web", /, **order: Any) -> dict[str, Any]:
    ips = {name: host.ip for name, host in lab.hosts.items()}
    text = json.dumps({"do": what, "server": server, "ips": ips, **order})
    command = ["env", "PYTHONPATH=/opt/failover/lib", "python3", "-W", "error", "-", text]
    done = lab.monitor.run(command, stdin=ON_MONITOR, timeout=90, check=False)
    assert done.code == 0, done.err
    found = json.loads(done.out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def first(lab: Lab) -> dict[str, Any]:
    """The first enrolling of ``wcm`` and then of ``web``, whose answer this is."""
    do(lab, "enroll", "wcm")
    return do(lab, "enroll")


@pytest.fixture
def enrolled(lab: Lab, first: dict[str, Any]) -> Iterator[Lab]:
    """Both are enrolled, and are so again after the test; the monitor's key for ``web`` has been copied."""
    for thief in (lab.monitor, lab.wcm):
        thief.write(STOLEN, lab.monitor.read(KEY), mode="600")
    yield lab
    do(lab, "enroll")


def stolen(lab: Lab, *words: str, host: str = "web", source: str = "monitor", timeout: float = 20) -> Any:
    """OpenSSH with the monitor's key for ``web``."""
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    command = [words[0], "-i", STOLEN, *options, *words[1:]]
    done = lab[source].run(command, check=False, timeout=timeout)
    assert "bad permissions" not in done.err, "the key itself must be fit for use, or being refused proves nothing"
    assert "No such file" not in done.err
    return done


def test_the_first_time_everything_is_set_and_the_monitor_gets_in(lab: Lab, first: dict[str, Any]) -> None:
    assert first["drift"] == []
    assert first["said"][0].startswith(f"web ({lab.web.ip} port 22) shows the host key ssh-ed25519 SHA256:")
    assert first["ours"] == lab.monitor.ip
    shown = lab.web.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").out.split()[1]
    assert first["fingerprint"] == shown
    assert first["content_key"].startswith("ssh-ed25519 ")
    rights = lab.monitor.run(["stat", "-c", "%a %U:%G", KEY]).out.strip()
    assert rights == "640 root:failover", "the daemon's group reads it, only root changes it"


def test_the_second_time_nothing_changes(enrolled: Lab) -> None:
    assert do(enrolled, "enroll")["changed"] == []
    assert do(enrolled, "check")["drift"] == []


def test_the_helper_answers_through_it_quickly(enrolled: Lab) -> None:
    found = do(enrolled, "ask", asks=[["service", {"unit": "nginx.service"}]])
    assert found["hello"]["helper"]["sha256"] == enrolled.web.run(["sha256sum", HELPER]).out.split()[0]
    assert found["answers"][0]["load"] == "loaded"
    assert found["drift"] == []
    assert found["median"] < 0.003


def test_the_content_key_of_one_opens_the_content_door_of_the_other(enrolled: Lab) -> None:
    do(enrolled, "enroll", "wcm")
    assert do(enrolled, "check", "wcm")["drift"] == []
    door = enrolled.wcm.read("/etc/failover-helper/home/failover-content/.ssh/authorized_keys")
    assert door.startswith(f'restrict,from="{enrolled.web.ip}",command="{HELPER} serve-content" ssh-ed25519 ')
    ssh = ["runuser", "-u", "failover-content", "--", "ssh", "-i", "/var/lib/failover-helper/content_key"]
    ssh += ["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]
    ssh += ["-o", "BatchMode=yes", f"failover-content@{enrolled.wcm.ip}", "id"]
    done = enrolled.web.run(ssh, check=False)
    assert "Permission denied" not in done.err, "the key is taken"
    assert "uid=" not in done.out, "and gives no shell"
    assert done.code != 0


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (f"echo '#' >> {HELPER}", f"file {HELPER} differs"),
        (f"chmod 4755 {HELPER}", f"file {HELPER} has mode 4755, not 0755"),
        (f"chown failover {HELPER}", f"file {HELPER} belongs to failover:root, not root:root"),
        (f"sed -i s/nginx/sshd/ {POLICY}", f"file {POLICY} differs"),
        (f"chmod 666 {POLICY}", f"file {POLICY} has mode 0666, not 0644"),
        (f"rm {SUDOERS}", f"file {SUDOERS} is missing"),
        (f"sed -i 's/\"\"//' {SUDOERS}", f"file {SUDOERS} differs"),
        (
            "echo 'failover ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/more",
            "sudo failover may also run (ALL) NOPASSWD: ALL",
        ),
        (f"sed -i 's/restrict,//' {DOOR}", f"file {DOOR} differs"),
        (f"sed p -i {DOOR}", f"file {DOOR} differs"),
        ("rm -r /etc/failover-helper/home/failover/.ssh", f"file {DOOR} is missing"),
        ("chown failover /etc/failover-helper/home/failover", "belongs to failover:root, not root:root"),
        ("usermod -p '!' failover", "user failover is locked"),
        ("usermod -p '' failover", "user failover needs no password"),
        ("echo failover:secret | chpasswd", "user failover has a password"),
        ("usermod -s /usr/sbin/nologin failover", "has the shell /usr/sbin/nologin; a forced command needs /bin/sh"),
        ("usermod -aG sudo failover", "user failover is a member of sudo"),
        ("rm /var/lib/failover-helper/content_key", "key /var/lib/failover-helper/content_key is missing"),
        ("chmod 644 /var/lib/failover-helper/content_key", "has mode 0644, not 0600"),
        ("systemctl disable -q failover-guard", "unit failover-guard.service isn't enabled"),
        ("echo 'AllowUsers root' > /etc/ssh/sshd_config.d/z.conf", "sshd failover has allowusers without failover"),
    ],
)
def test_each_drift_is_named_and_enrolling_again_mends_it(enrolled: Lab, spoil: str, says: str) -> None:
    enrolled.web.run(["sh", "-ec", spoil])
    try:
        drift = do(enrolled, "check")["drift"]
        assert any(says in line for line in drift), drift
    finally:  # what only the operator can mend
        enrolled.web.run("rm -f /etc/sudoers.d/more /etc/ssh/sshd_config.d/z.conf")
    again = do(enrolled, "enroll")
    assert again.get("drift") == [], again
    assert do(enrolled, "check")["drift"] == []


def test_what_only_the_operator_can_mend_is_said_and_not_touched(enrolled: Lab) -> None:
    enrolled.web.run(["sh", "-ec", "echo 'AllowUsers root' > /etc/ssh/sshd_config.d/z.conf"])
    try:
        found = do(enrolled, "enroll")
        assert found["error"] == "EnrollError"
        assert "sshd failover has allowusers without failover" in found["says"]
    finally:
        enrolled.web.run("rm /etc/ssh/sshd_config.d/z.conf")


def test_drift_of_helper_and_policy_shows_through_the_helper_alone(enrolled: Lab) -> None:
    enrolled.web.run(f"sed -i s/nginx.service/ssh.service/ {POLICY}; systemctl disable -q failover-guard")
    drift = do(enrolled, "ask")["drift"]
    assert any(line.startswith("policy web has the sha256") for line in drift), drift
    assert "unit failover-guard.service isn't enabled" in drift


def test_a_replaced_host_key_is_shown_with_the_old_one_and_asked_about(enrolled: Lab) -> None:
    folder = "/etc/ssh"
    enrolled.web.run(
        f"mkdir {folder}/old; mv {folder}/ssh_host_* {folder}/old; ssh-keygen -q -A; systemctl restart ssh"
    )
    try:
        refused = do(enrolled, "enroll", agree=False)
        assert refused["error"] == "EnrollError"
        assert "nothing was sent" in refused["says"]
        assert "shows the host key" in do(enrolled, "ask")["says"]
        assert "was pinned to ssh-ed25519 SHA256:" in do(enrolled, "enroll")["said"][0]
        assert do(enrolled, "check")["drift"] == []
    finally:
        enrolled.web.run(f"mv {folder}/old/* {folder}/; rmdir {folder}/old; systemctl restart ssh")


LIN = """
useradd -m -s /bin/bash lin; echo lin:correct-horse | chpasswd
mkdir -p ~lin/.ssh; cp /root/.ssh/authorized_keys ~lin/.ssh/; chown -R lin ~lin
"""


def test_an_operator_without_root_uses_sudo_with_or_without_a_password(enrolled: Lab) -> None:
    enrolled.web.run(["sh", "-ec", LIN])
    lin = f"lin@{enrolled.web.ip}"
    refused = do(enrolled, "enroll", **{"as": lin, "sudo": True})
    assert "sudo: a password is required" in refused["says"] or "lin is not in the sudoers" in refused["says"]
    assert "needed: log in as root or use sudo" in do(enrolled, "enroll", **{"as": lin})["says"]
    enrolled.web.write("/etc/sudoers.d/lin", "lin ALL=(ALL) ALL\n", mode="440")
    wrong = do(enrolled, "enroll", password="wrong", **{"as": lin, "sudo": True})
    assert "incorrect password" in wrong["says"] or "no password was provided" in wrong["says"], wrong
    assert do(enrolled, "enroll", password="correct-horse", **{"as": lin, "sudo": True})["drift"] == []
    enrolled.web.write("/etc/sudoers.d/lin", "lin ALL=(ALL) NOPASSWD: ALL\n", mode="440")
    assert do(enrolled, "enroll", **{"as": lin, "sudo": True})["drift"] == []
    assert do(enrolled, "enroll", password="not needed", **{"as": lin, "sudo": True})["drift"] == []


# what a stolen key is worth


def test_a_stolen_key_gets_the_helper_and_no_shell(enrolled: Lab) -> None:
    there = f"failover@{enrolled.web.ip}"
    for words in (
        ["ssh", there],
        ["ssh", there, "id"],
        ["ssh", there, "/bin/sh", "-c", "id"],
        ["ssh", "-s", there, "sftp"],
    ):
        done = stolen(enrolled, *words)
        assert json.loads(done.out.splitlines()[0]).keys() == {"hello"}, done
        assert "uid=" not in done.out + done.err
    assert "PTY allocation request failed" in stolen(enrolled, "ssh", "-tt", there).err


def test_a_stolen_key_copies_nothing(enrolled: Lab) -> None:
    there = f"failover@{enrolled.web.ip}"
    for words in (
        ["scp", f"{there}:/etc/shadow", "/tmp/stolen"], ["scp", "-O", f"{there}:/etc/shadow", "/tmp/stolen"],
        ["scp", "/etc/hosts", f"{there}:/tmp/planted"], ["scp", "-O", "/etc/hosts", f"{there}:/tmp/planted"],
    ):  # fmt: skip
        assert stolen(enrolled, *words).code != 0
    assert not enrolled.monitor.exists("/tmp/stolen")
    assert not enrolled.web.exists("/tmp/planted")


def test_a_stolen_key_forwards_nothing(enrolled: Lab) -> None:
    there = f"failover@{enrolled.web.ip}"
    done = stolen(enrolled, "ssh", "-W", "127.0.0.1:22", there)
    assert "SSH-2.0" not in done.out
    assert "administratively prohibited" in done.err
    for option in (["-R", "7777:127.0.0.1:22"], ["-R", "/tmp/s:127.0.0.1:22"]):
        done = stolen(enrolled, "ssh", "-N", "-o", "ExitOnForwardFailure=yes", *option, there)
        assert "remote port forwarding failed" in done.err, done
    done = stolen(enrolled, "ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-w", "0:0", there)
    assert done.code != 0


def test_a_stolen_key_opens_nothing_from_elsewhere_or_on_other_servers(enrolled: Lab) -> None:
    done = stolen(enrolled, "ssh", f"failover@{enrolled.web.ip}", source="wcm")
    assert "Permission denied" in done.err
    for user in ("failover", "failover-content", "root"):
        assert "Permission denied" in stolen(enrolled, "ssh", f"{user}@{enrolled.wcm.ip}").err
    assert "Permission denied" in stolen(enrolled, "ssh", f"root@{enrolled.web.ip}", "id").err
    assert "uid=" not in stolen(enrolled, "ssh", f"failover-content@{enrolled.web.ip}", "id").out


def test_what_the_policy_doesnt_name_is_refused(enrolled: Lab) -> None:
    asks = [["shell", {"command": "id"}], ["service", {"unit": "ssh.service"}], ["manifest", {"path": "/etc"}],
            ["address", {"ip": "10.77.0.1"}], ["see", {"ip": "8.8.8.8", "port": 53}]]  # fmt: skip
    changes = [["service", {"unit": "ssh.service", "want": "stopped"}], ["command", {"name": "sh"}],
               ["address", {"ip": "10.77.0.12", "interface": "eth0", "prefix": 24, "want": "held"}]]  # fmt: skip
    answers = do(enrolled, "ask", asks=asks, changes=changes)["answers"]
    assert [answer["error"] for answer in answers] == ["Refused"] * len(answers), answers
    assert {answer["kind"] for answer in answers[1:]} == {"not-in-policy"}


def test_the_account_itself_may_run_only_this_very_helper_and_without_arguments(enrolled: Lab) -> None:
    def as_failover(*words: str) -> str:
        return str(enrolled.web.run(["runuser", "-u", "failover", "--", *words], check=False).err)

    for words in ([HELPER, "guard"], [HELPER, "--root", "/tmp"], ["/bin/sh"], ["-s"], ["-u", "postgres", HELPER]):
        assert "password is required" in as_failover("sudo", "-n", *words) or "not allowed" in as_failover(
            "sudo", "-n", *words
        )
    assert "password is required" not in as_failover("sudo", "-n", HELPER)
    enrolled.web.run(f"echo 'import os' >> {HELPER}")
    assert "password is required" in as_failover("sudo", "-n", HELPER), "another helper than the one that was enrolled"


def test_no_private_key_leaves_the_host_it_was_made_on(enrolled: Lab) -> None:
    """By searching each host's files for the body of the others' keys."""
    for thief in (enrolled.monitor, enrolled.wcm):
        thief.run(["rm", STOLEN])
    kept = {"monitor": KEY, "web": "/var/lib/failover-helper/content_key"}
    for owner, path in kept.items():
        body = "".join(enrolled[owner].read(path).splitlines()[2:-1])[20:60]
        assert len(body) == 40
        for name, host in enrolled.hosts.items():
            found = host.run(
                ["grep", "-rlsF", "--", body, "/etc", "/var/lib/failover-helper", "/root", "/tmp", "/var/log"],
                check=False,
            )
            assert found.out.split() == ([path] if name == owner else [])


def test_a_taken_name_is_left_to_its_owner(enrolled: Lab) -> None:
    do(enrolled, "remove")
    enrolled.web.run("useradd -m failover")
    found = do(enrolled, "enroll")
    assert "user failover exists already for something else" in found["says"]
    assert enrolled.web.run("getent passwd failover").out.split(":")[5] == "/home/failover"
    enrolled.web.run("userdel -r failover", check=False)


def test_removing_leaves_nothing_behind(enrolled: Lab) -> None:
    answer = do(enrolled, "remove")
    assert f"file {HELPER}" in answer["changed"]
    search = "find / /run -xdev -name '*failover*'; getent passwd; getent group"
    left = enrolled.web.run(search, check=False).out
    assert not [line for line in left.splitlines() if "failover" in line], left
    assert not enrolled.monitor.exists(KEY)
    assert do(enrolled, "remove")["changed"] == [], "twice is as good as once"
    assert "Permission denied" in stolen(enrolled, "ssh", f"failover@{enrolled.web.ip}").err
