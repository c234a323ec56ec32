"""As the paper plan has it: the backup takes the web server's own address, which is managed by another one."""

import pytest

from tests.e2e.bureau import WEB_HOSTS, Bureau, lab_config
from tests.e2e.recovery import tree
from tests.e2e.town import all_well, brisk
from tests.lab import Oracle, Visitor
from tests.lab.fixtures import MakeLab

pytestmark = pytest.mark.lab

OWN, MANAGED_BY = "10.77.0.11", "10.77.0.111"


def own_address_config(managed_by: str) -> str:
    """The lab's config, but visitors use the web server's own address."""
    config = brisk(lab_config()).replace(f"ssh: {OWN}\n", f"ssh: {managed_by}\n")
    lines = [line for line in config.splitlines() if "{address: www6}" not in line and not line.startswith("  www6:")]
    config = "\n".join(lines).replace("[www, www6]", "www").replace("10.77.0.100", OWN)
    assert "www6" not in config
    return config + "\n"


def test_the_backup_takes_the_web_servers_own_address_and_gives_it_back(make_lab: MakeLab) -> None:
    lab = make_lab(WEB_HOSTS, service=[f"{MANAGED_BY}/24"])
    bureau = Bureau(lab, own_address_config(managed_by=OWN))
    refused = bureau.cli("check-config", check=False)
    assert refused.code == 78
    assert OWN in refused.out + refused.err
    print(refused.out + refused.err)

    bureau.write_config(own_address_config(MANAGED_BY))
    bureau.cli("check-config")
    bureau.up()
    with Oracle(lab, [OWN]) as oracle, Visitor(lab.client, OWN) as visitor:
        visitor.await_host("web", within=15)
        lab.web.kill_service("nginx")
        visitor.await_host("web-backup", within=20)
        bureau.until_run("recover", ("done",), 20)
        assert lab.web.addresses() >= {MANAGED_BY}, "taking the first address away takes no other one with it"
        assert tree(bureau, "web-backup") == tree(bureau, "wcm")

        lab.web.run("systemctl start nginx")
        bureau.cli("ack", "web", "--why", "nginx is up again")
        bureau.until(all_well, 30)
        bureau.cli("switch", "web", "--yes")
        visitor.await_host("web", within=10)
        oracle.check()
        visitor.check_whole()
        assert oracle.holders(OWN) == ["web"]
