"""Every verb of a host, seen working on a real one."""

import re
import time
from pathlib import Path

import pytest

from tests.lab import Host, Lab, LabError, LabTimeout
from tests.lab.fixtures import shared_lab

pytestmark = pytest.mark.lab
lab = shared_lab("monitor", "client", "web", "third")


def page(host: Host, url: str, seconds: float = 1) -> str:
    return host.run(f"curl -s -m {seconds} {url}", check=False).out


def test_every_host_is_a_debian_of_its_own_with_systemd_as_its_first_process(lab: Lab) -> None:
    seen = lab.each(
        lambda host: host.run("cat /proc/1/comm; hostname; cat /etc/machine-id; stat -c %i /proc/1/ns/net").out
    )
    for name, (init, hostname, *_) in zip(lab.hosts, map(str.split, seen), strict=True):
        assert (init, hostname) == ("systemd", name)
    assert len(set(seen)) == len(lab.hosts)
    assert set(lab.each(lambda host: host.run("systemctl is-system-running", check=False).out)) == {"running\n"}


def test_only_what_a_hosts_role_asks_for_is_started(lab: Lab) -> None:
    daemons = "nginx postgresql mariadb keepalived ssh"
    assert lab.web.run(f"systemctl is-active {daemons}", check=False).out.split() == [
        "active",
        *["inactive"] * 3,
        "active",
    ]
    assert lab.third.run(f"systemctl is-active {daemons}", check=False).out.split() == [*["inactive"] * 4, "active"]


def test_nothing_can_leave_the_lab(lab: Lab) -> None:
    for host in lab.hosts.values():
        routes = host.run("ip route show table all; ip -6 route show table all").out
        assert "default" not in routes
        reached = set(re.findall(r"^([\da-f:.]+/\d+) ", routes, re.MULTILINE))
        assert reached <= {"10.77.0.0/24", "10.78.0.0/24", "fd77::/64", "fd78::/64", "fe80::/64", "127.0.0.0/8"}


def test_visitors_reach_the_servers_through_the_router_in_both_families(lab: Lab) -> None:
    assert "10.77.0.11 via 10.78.0.1 " in lab.client.run("ip route get 10.77.0.11").out
    for url in ("http://10.77.0.100/build-id", "http://[fd77::100]/build-id"):
        assert page(lab.client, url) == "build-1\n"
    lab.router.run("sysctl -qw net.ipv4.ip_forward=0")
    try:
        assert page(lab.client, "http://10.77.0.100/build-id", 0.3) == ""
    finally:
        lab.router.run("sysctl -qw net.ipv4.ip_forward=1")


def test_a_page_tells_who_served_it_and_which_build_it_is(lab: Lab) -> None:
    answer = page(lab.monitor, "-i http://10.77.0.11/page/3.html")
    assert "X-Served-By: web" in answer
    assert answer.count("<!-- build build-1 -->") == 2
    assert "统计公报 3" in answer


def test_the_operators_key_on_the_monitor_opens_every_host_whose_key_is_known(lab: Lab) -> None:
    for name in ("web", "third"):
        assert lab.monitor.run(f"ssh -o BatchMode=yes {name} hostname").out == f"{name}\n"
    assert lab.web.run("ssh -o BatchMode=yes -o StrictHostKeyChecking=no third hostname", check=False).code == 255


def test_a_command_that_fails_says_so_with_its_words(lab: Lab) -> None:
    done = lab.web.run("echo out; echo err >&2; exit 3", check=False)
    assert (done.code, done.out, done.err) == (3, "out\n", "err\n")
    with pytest.raises(LabError, match=r"web: ls /nowhere ended with 2: .*No such file"):
        lab.web.run(["ls", "/nowhere"])


def test_a_command_that_never_ends_is_killed_with_its_children(lab: Lab) -> None:
    with pytest.raises(LabTimeout, match=r"web: not done within 0\.3 s"):
        lab.web.run("sleep 1234 & sleep 1234", timeout=0.3)
    assert lab.web.run(["pgrep", "-fx", "sleep 1234"], check=False).code == 1


def test_a_command_in_the_background_runs_until_it_is_stopped(lab: Lab) -> None:
    ticking = lab.web.start("while :; do echo tick; sleep 0.05; done")
    time.sleep(0.3)
    states = [ticking.running]
    assert "tick\ntick\n" in ticking.output()
    ticking.stop()
    assert [*states, ticking.running] == [True, False]
    assert lab.web.start("exit 4").wait(5) == 4


def test_files_are_written_whole_and_inside_the_host_only(lab: Lab, tmp_path: Path) -> None:
    lab.third.write("/srv/deep/er/note", "统计\n", mode="600")
    assert lab.third.read("/srv/deep/er/note") == "统计\n"
    assert lab.third.run("stat -c %a /srv/deep/er/note").out == "600\n"
    # A symlink on a host's disk leads nowhere but to the same host's disk, even if the path exists on the machine.
    lab.third.run(["mkdir", "-p", str(tmp_path)])
    lab.third.run(["ln", "-s", str(tmp_path), "/srv/link"])
    lab.third.write("/srv/link/note", "mine")
    assert lab.third.read(f"{tmp_path}/note") == "mine"
    assert list(tmp_path.iterdir()) == []


def test_after_a_power_cut_the_host_is_silent_at_once_and_its_disk_is_kept(lab: Lab) -> None:
    lab.web.write("/srv/kept", "here")
    before = lab.web.run("stat -c %i /proc/1/ns/pid").out
    lab.web.power_off()
    assert not lab.web.on
    assert lab.monitor.run("ping -c1 -W1 10.77.0.11", check=False).code == 1
    assert lab.router.run("arping -q -c1 -w1 -I eth0 10.77.0.100", check=False).code == 1
    with pytest.raises(LabError, match="web has no power"):
        lab.web.run("true")
    lab.web.boot()
    assert lab.web.read("/srv/kept") == "here"
    assert lab.web.run("stat -c %i /proc/1/ns/pid").out != before
    assert lab.web.addresses() == {"10.77.0.11", "fd77::11"}, "the service address isn't in its boot config"
    assert page(lab.monitor, "http://10.77.0.11/build-id") == "build-1\n"
    lab.web.add_address("10.77.0.100/24")
    lab.web.add_address("fd77::100/64")


def test_a_host_that_shuts_down_by_itself_is_off_and_can_be_rebooted(lab: Lab) -> None:
    lab.third.run("touch /run/forgotten")
    lab.third.reboot()
    assert not lab.third.exists("/run/forgotten")
    lab.third.run("systemctl poweroff", check=False)
    deadline = time.monotonic() + 10
    while lab.third.on and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lab.third.on
    lab.third.boot()
    with pytest.raises(LabError, match="on already"):
        lab.third.boot()


def test_a_frozen_host_answers_ping_and_handshakes_but_nothing_else_and_goes_on_when_thawed(lab: Lab) -> None:
    lab.web.freeze()
    try:
        lab.monitor.run("ping -c1 -W1 10.77.0.11")
        assert "Connected to" in lab.monitor.run("curl -sv -m 0.3 http://10.77.0.11/", check=False).err
        assert page(lab.monitor, "http://10.77.0.11/", 0.3) == ""
        with pytest.raises(LabTimeout):
            lab.web.run("true", timeout=0.3)
    finally:
        lab.web.thaw()
    assert page(lab.monitor, "http://10.77.0.11/build-id") == "build-1\n"


def test_a_frozen_host_can_lose_its_power(lab: Lab) -> None:
    lab.third.freeze()
    lab.third.power_off()
    assert not lab.third.on
    lab.third.boot()


def test_a_hung_service_accepts_but_never_answers(lab: Lab) -> None:
    lab.web.hang_service("nginx")
    assert "Connected to" in lab.monitor.run("curl -sv -m 0.3 http://10.77.0.11/", check=False).err
    assert page(lab.monitor, "http://10.77.0.11/", 0.3) == ""
    assert lab.monitor.run("ssh web true").code == 0, "only the service hangs"
    lab.web.resume_service("nginx")
    assert page(lab.monitor, "http://10.77.0.11/build-id") == "build-1\n"


def test_a_killed_service_refuses(lab: Lab) -> None:
    lab.web.kill_service("nginx")
    assert lab.monitor.run("curl -s -m 1 http://10.77.0.11/", check=False).code == 7
    lab.web.run("systemctl start nginx")


def test_a_small_disk_fills_up_and_keeps_what_was_there(lab: Lab) -> None:
    lab.third.write("/srv/content/page", "old")
    lab.third.small_disk("/srv/content", size="256k", inodes=20)
    assert lab.third.read("/srv/content/page") == "old"
    assert "No space left" in lab.third.run("head -c 1m /dev/zero > /srv/content/big", check=False).err
    lab.third.run("rm /srv/content/big")
    assert "No space left" in lab.third.run("for n in $(seq 30); do touch /srv/content/$n; done", check=False).err
    assert (
        "No space left"
        in lab.third.run("systemd-run -qP -p ProtectSystem=yes sh -c 'touch /srv/content/x'", check=False).err
    )
    lab.third.large_disk("/srv/content")
    assert lab.third.run("ls /srv/content").out == "page\n"


def test_an_address_moves_and_the_router_learns_it_at_once(lab: Lab) -> None:
    lab.router.run("ping -c1 -W1 10.77.0.100")
    lab.web.del_address("10.77.0.100/24")
    lab.third.add_address("10.77.0.100/24")
    try:
        assert lab.router.run("ping -c1 -W1 10.77.0.100", timeout=3).code == 0
        assert lab.third.cards[0].mac in lab.router.run("ip neigh show 10.77.0.100").out
    finally:
        lab.third.del_address("10.77.0.100/24")
        lab.web.add_address("10.77.0.100/24")


def test_an_old_server_claims_the_addresses_of_its_boot_config_when_it_boots(lab: Lab) -> None:
    lab.third.boot_addresses("10.77.0.120/24", "fd77::120/64")
    lab.third.power_off()
    lab.third.boot()
    assert {"10.77.0.120", "fd77::120"} <= lab.third.addresses()
    assert lab.third.run("systemctl is-active boot-addresses").out == "active\n"
    lab.third.boot_addresses()
    lab.third.reboot()
    assert lab.third.addresses() == {lab.third.ip, lab.third.ipv6}


CLOCKED = """\
import os, time
while True:
    with open("/run/now.new", "w") as file:
        file.write(f"{time.time()} {time.monotonic()}")
    os.rename("/run/now.new", "/run/now")
    time.sleep(0.05)
"""


def test_a_services_clock_jumps_and_comes_back_without_a_restart(lab: Lab) -> None:
    lab.third.write("/srv/clocked.py", CLOCKED)
    lab.third.write("/etc/systemd/system/clocked.service", "[Service]\nExecStart=/usr/bin/python3 /srv/clocked.py\n")
    lab.third.run("systemctl daemon-reload; systemctl start clocked")

    def shift() -> float:
        time.sleep(0.3)
        now, monotonic = map(float, lab.third.read("/run/now").split())
        assert abs(monotonic - time.monotonic()) < 1, "the monotonic clock is true"
        return now - time.time()

    with lab.third.fake_clock("clocked") as clock:
        pid = lab.third.run("systemctl show -P MainPID clocked").out
        assert abs(shift()) < 1
        for wrong in (10 * 365 * 86400, -120):
            clock.set(wrong)
            assert abs(shift() - wrong) < 1
        assert lab.third.run("systemctl show -P MainPID clocked").out == pid
    assert abs(shift()) < 1
    lab.third.run("systemctl stop clocked")


def test_the_journal_can_be_read_whether_the_host_lives_or_not(lab: Lab, tmp_path: Path) -> None:
    lab.third.run("logger -t test 'the last words'; journalctl --sync")
    lab.third.power_off()
    lab.save_logs(tmp_path)
    assert "the last words" in (tmp_path / "third.log").read_text()
    assert "sshd" in (tmp_path / "web.log").read_text()
    lab.third.boot()
