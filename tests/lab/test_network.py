"""What can go wrong on the wire, done to real hosts and seen from others; and that healing heals."""

import pytest

from tests.lab import Host, Lab, LabError
from tests.lab.fixtures import shared_lab

pytestmark = pytest.mark.lab
lab = shared_lab("monitor", "web", "wcm")

COUNT = 400

HEAR = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
    ear.bind(("", 999))
    open("/run/ready", "w").close()
    ear.settimeout(0.5)
    ear.recv(9)
    open("/run/heard", "w").close()
"""


def reaches(host: Host, ip: str) -> bool:
    # Two seconds, because a neighbour that was given up is asked for again each second.
    return host.run(f"ping -c1 -W2 {ip}", check=False).code == 0


def misses(host: Host, ip: str) -> bool:
    return host.run(f"ping -c1 -W0.3 {ip}", check=False).code == 1


def heard(lab: Lab, sender: Host, hearer: Host) -> bool:
    """Whether a datagram gets from one host to the other, whatever happens to answers."""
    hearer.run("rm -f /run/heard")
    listening = hearer.start(["python3", "-c", HEAR])
    hearer.run("for n in $(seq 100); do [ -e /run/ready ] && break; sleep 0.02; done; rm /run/ready")
    # The neighbour is known beforehand: only the datagram itself is on trial.
    mac = hearer.cards[0].mac
    sender.run(f"ip neigh replace {hearer.ip} lladdr {mac} dev eth0 nud permanent")
    sender.run(["python3", "-c", f"import socket; socket.socket(2, 2).sendto(b'x', ('{hearer.ip}', 999))"])
    listening.wait(5)
    sender.run(f"ip neigh del {hearer.ip} dev eth0")
    return hearer.exists("/run/heard")


def test_a_cut_cable_is_noticed_by_the_host_and_mended_at_once(lab: Lab) -> None:
    with lab.cut("web"):
        assert "NO-CARRIER" in lab.web.run("ip link show eth0").out
        assert misses(lab.monitor, "10.77.0.11")
        assert reaches(lab.monitor, "10.77.0.21")
        assert lab.web.run("echo still here").out == "still here\n"
    assert reaches(lab.monitor, "10.77.0.11")
    assert "NO-CARRIER" not in lab.web.run("ip link show eth0").out


def test_a_cable_stays_out_over_a_boot_and_until_every_fault_is_healed(lab: Lab) -> None:
    first, second = lab.cut("web"), lab.cut("web", "wcm")
    lab.web.power_off()
    lab.web.boot()
    first.heal()
    assert misses(lab.monitor, "10.77.0.11")
    second.heal()
    second.heal()
    assert reaches(lab.monitor, "10.77.0.11")
    assert reaches(lab.monitor, "10.77.0.21")


def test_one_direction_can_be_cut_alone(lab: Lab) -> None:
    with lab.cut_outgoing("web"):
        assert heard(lab, lab.monitor, lab.web)
        assert not heard(lab, lab.web, lab.monitor)
    with lab.cut_incoming("web"):
        assert not heard(lab, lab.monitor, lab.web)
        assert heard(lab, lab.web, lab.monitor)
    assert heard(lab, lab.monitor, lab.web)
    assert heard(lab, lab.web, lab.monitor)


def test_two_hosts_can_be_kept_apart_while_a_third_reaches_both(lab: Lab) -> None:
    with lab.block("monitor", "web"):
        assert misses(lab.monitor, "10.77.0.11")
        assert misses(lab.web, "10.77.0.10")
        assert reaches(lab.wcm, "10.77.0.11")
        assert reaches(lab.wcm, "10.77.0.10")
    assert reaches(lab.monitor, "10.77.0.11")


def test_two_hosts_can_be_kept_apart_in_one_direction(lab: Lab) -> None:
    with lab.block("monitor", "web", one_way=True):
        assert not heard(lab, lab.monitor, lab.web)
        assert heard(lab, lab.web, lab.monitor)


def test_about_the_share_asked_for_gets_lost(lab: Lab) -> None:
    def lost() -> float:
        # The neighbour is known, so that a lost ARP question doesn't count for many packets.
        lab.monitor.run(f"ip neigh replace 10.77.0.11 lladdr {lab.web.cards[0].mac} dev eth0 nud permanent")
        lab.web.run(f"ip neigh replace 10.77.0.10 lladdr {lab.monitor.cards[0].mac} dev eth0 nud permanent")
        out = lab.monitor.run(f"ping -q -f -c{COUNT} -W1 10.77.0.11", check=False, timeout=30).out
        return 1 - int(out.split(" received")[0].split()[-1]) / COUNT

    with lab.drop(0.1, "monitor", "web"):  # there and back: 1 - 0.9^2 = 19 %
        assert 0.10 < lost() < 0.30
    with lab.drop(0.3, "web"):  # 1 - 0.7^2 = 51 %
        assert 0.38 < lost() < 0.64
    assert lost() == 0
    for one, other in (("monitor", "web"), ("web", "monitor")):
        lab[one].run(f"ip neigh del {lab[other].ip} dev eth0")


def test_faults_add_up_and_all_are_healed_with_one_word(lab: Lab) -> None:
    lab.block("monitor", "web")
    lab.cut("wcm")
    assert [str(fault) for fault in lab.switch.faults] == ["monitor <-> web blocked", "unplugged: wcm"]
    assert misses(lab.monitor, "10.77.0.11")
    assert misses(lab.monitor, "10.77.0.21")
    lab.heal()
    assert reaches(lab.monitor, "10.77.0.11")
    assert reaches(lab.monitor, "10.77.0.21")


def test_what_makes_no_sense_is_refused_in_words(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"a share of 30 can't be dropped"):
        lab.drop(30, "web")
    with pytest.raises(LabError, match="no host 'wbe' in this lab; there are monitor, web, wcm"):
        lab.cut("wbe")
    with pytest.raises(AttributeError, match="no host 'db-backup'"):
        lab.db_backup.run("true")
    with pytest.raises(LabError, match="is no name for a host"):
        Lab(["a name with spaces"])
