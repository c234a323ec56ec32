"""What operators and strangers do to it: a wrong config, a second daemon, a server with another host key."""

import json
import time

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.phone import Phone
from tests.e2e.test_cut_off import calls
from tests.lab import Oracle, Visitor

pytestmark = pytest.mark.lab

KEY = "/etc/ssh/ssh_host_ed25519_key"


def test_a_bad_config_is_refused_on_reload_and_the_old_one_goes_on_recovering(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    usual = bureau.config
    bureau.write_config(usual.replace("address_held: {address: www}", "address_held: {addres: www}"))
    try:
        refused = bureau.cli("reload", check=False)
        assert refused.code == 78
        assert "unknown key 'addres'; did you mean 'address'?" in refused.err
        told = json.loads(bureau.cli("status", "-o", "json", check=False).out)
        assert any("addres" in problem for problem in told["config"]["refused"])
        phone.await_page("the new config is refused", within=10, severity="warning")

        bureau.lab.web.kill_service("nginx")
        visitor.await_host("web-backup", within=20)
        bureau.until_run("recover", ("done",), 20)
    finally:
        bureau.write_config(usual)
        bureau.cli("reload")
    oracle.check()


def test_a_second_daemon_ends_at_once_and_the_first_goes_on(bureau: Bureau) -> None:
    first = bureau.monitor.run("systemctl show -P MainPID failover").out
    second = bureau.monitor.run(
        "setpriv --reuid failover --regid failover --init-groups failover daemon --config /etc/failover/failover.yaml",
        check=False, timeout=30,
    )  # fmt: skip
    assert second.code == 73
    assert f"is in use by process {first.strip()}: one failover owns a journal at a time" in second.err
    assert bureau.monitor.run("systemctl show -P MainPID failover").out == first
    assert bureau.ready(5)


def test_a_server_with_another_host_key_gets_no_command_and_people_are_called(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    backup = bureau.lab.web_backup
    backup.run(f"cp -a {KEY} /root/key && cp -a {KEY}.pub /root/key.pub && rm {KEY} {KEY}.pub")
    backup.run(f"ssh-keygen -q -t ed25519 -N '' -f {KEY} && systemctl restart ssh")
    since = time.time()
    try:
        backup.run("pkill -KILL -u failover", check=False)  # sessions that are open outlive sshd's restart
        page = phone.await_page("host key", within=20)
        assert "web-backup" in page["title"]
        time.sleep(5)
        assert calls(backup, since) == []
        assert not bureau.plan()["ready"]
        assert bureau.moves() == []
    finally:
        backup.run(f"mv /root/key {KEY} && mv /root/key.pub {KEY}.pub && systemctl restart ssh")
    oracle.check()
