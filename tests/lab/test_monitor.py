"""The monitor host: the daemon's code and requirements are there, and the power outlets obey it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.fixtures import MakeLab, shared_lab
from tests.lab.layers import REPOSITORY
from tests.lab.needs import PACKAGES, missing_requirements

pytestmark = pytest.mark.lab
lab = shared_lab("monitor", "web")

CONFINED = "-p DynamicUser=yes -p ProtectSystem=strict -p PrivateDevices=yes -p NoNewPrivileges=yes -p ProtectHome=yes"


def test_the_work_trees_code_runs_with_the_locked_requirements(lab: Lab) -> None:
    program = "import failover, paramiko, pydantic, yaml, httpx; print(failover.__file__, pydantic.VERSION)"
    done = lab.monitor.run(["env", "PYTHONPATH=/opt/failover/lib", "python3", "-c", program])
    assert done.out.startswith("/opt/failover/lib/failover/__init__.py 2.")
    assert (
        lab.monitor.read("/opt/failover/lib/failover/__init__.py") == (REPOSITORY / "failover/__init__.py").read_text()
    )
    assert lab.monitor.run("touch /opt/failover/lib/failover/x", check=False).code != 0
    assert lab.monitor.run("test -x /usr/bin/failover").code == 0


def test_the_projects_units_are_installed_and_not_started(lab: Lab) -> None:
    for unit in (REPOSITORY / "systemd").glob("*.service"):
        assert lab.monitor.run(f"systemctl show -P LoadState {unit.name}").out == "loaded\n"
        assert lab.monitor.run(f"systemctl is-active {unit.name}", check=False).out == "inactive\n"


UNITS = {
    "sitter.service": "[Service]\nUser=sitter\nExecStart=/usr/bin/touch /var/lib/sitter/was-here\nType=oneshot\n",
    "sysusers.d/sitter.conf": 'u sitter - "a user of the unit" /var/lib/sitter\n',
    "tmpfiles.d/sitter.conf": "d /var/lib/sitter 0750 sitter sitter\n",
}


def test_a_unit_has_the_user_and_the_folders_it_asks_for(make_lab: MakeLab, tmp_path: Path) -> None:
    for name, text in UNITS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    lab = make_lab(["monitor"], units=tmp_path)
    lab.monitor.run("systemctl start sitter")
    assert lab.monitor.run("stat -c %U /var/lib/sitter/was-here").out == "sitter\n"


def test_a_confined_service_can_cut_and_give_power_and_is_told_when_it_is_so(lab: Lab) -> None:
    def pdu(order: str) -> tuple[int, str]:
        done = lab.monitor.run(f"systemd-run -qP {CONFINED} lab-pdu {order}", check=False)
        return done.code, (done.out + done.err).strip()

    assert pdu("status web") == (0, "web is on")
    assert pdu("off web") == (0, "web is off")
    assert not lab.web.on
    assert "p-web" not in lab.switch.ports()
    assert pdu("off web") == (0, "web is off"), "cutting what is cut is fine"
    assert pdu("on web") == (0, "web is on")
    lab.web.wait_booted()
    code, sentence = pdu("off wbe")
    assert (code, sentence) == (1, "no outlet is called 'wbe'; there are monitor, web")
    assert lab.outlets
    assert lab.outlets.orders[:2] == ["status web", "off web"]


def test_other_hosts_have_no_hand_on_the_outlets(lab: Lab) -> None:
    done = lab.web.run("lab-pdu off monitor", check=False)
    assert done.code == 1
    assert "no answer from the power outlets" in done.err


def test_more_packages_can_be_laid_over_the_root(make_lab: MakeLab) -> None:
    lab = make_lab(["third"], packages=["monit"])
    assert "Monit version" in lab.third.run("monit -V").out
    assert lab.third.run("systemctl is-active monit", check=False).out == "inactive\n"


def test_a_person_can_play(lab: Lab) -> None:
    words = "hosts\non web hostname\ncut web\nfaults\nheal\noff web\nhosts\nbogus\ncut nosuch\nvisit\nquit\n"
    play = subprocess.run(
        [sys.executable, "-m", "tests.lab", "web"],
        cwd=REPOSITORY,
        input=words,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for seen in (
        "web          on   10.77.0.100", "unplugged: web", "web          off", "'bogus' is no command",
        "no host 'nosuch'", "web held 10.77.0.100", "the lab is gone",
    ):  # fmt: skip
        assert seen in play.stdout


def test_a_machine_that_lacks_a_tool_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_requirements() == []
    monkeypatch.setitem(PACKAGES, "no-such-tool", "no-such-package")
    assert missing_requirements() == ["apt-get install --no-install-recommends no-such-package"]
