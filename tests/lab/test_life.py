"""However a lab ends, nothing of it is left; and while it lives, the machine's own network knows nothing of it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, warden
from tests.lab.fixtures import MakeLab, needs_lab
from tests.lab.layers import REPOSITORY
from tests.lab.needs import cgroup_root
from tests.processes import runs

pytestmark = pytest.mark.lab

MAKER = """
import sys, time
from tests.lab import Lab
lab = Lab(["web"], life_seconds=float(sys.argv[1]))
lab.up()
print(lab.state, lab._warden.pid, lab.web.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def maker() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts another process that makes a lab and holds it."""
    needs_lab()
    made: list[subprocess.Popen[str]] = []

    def start(life_seconds: float = 60) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MAKER, str(life_seconds)]
        made.append(subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def told(process: subprocess.Popen[str]) -> tuple[Path, int, int]:
    """The folder of state, the warden's process and web's PID 1 of a lab in another process."""
    assert process.stdout
    state, warden_pid, web_pid = process.stdout.readline().split()
    return Path(state), int(warden_pid), int(web_pid)


def await_gone(*things: Callable[[], bool], within: float = 10) -> None:
    deadline = time.monotonic() + within
    while any(thing() for thing in things):
        assert time.monotonic() < deadline, "something is left"
        time.sleep(0.02)


def cgroup_of(state: Path) -> Path:
    root = cgroup_root()
    assert root
    return root / state.name


def test_a_lab_ends_whole_with_its_maker_even_by_kill_9(maker: Callable[..., subprocess.Popen[str]]) -> None:
    process = maker()
    state, warden_pid, web = told(process)
    assert runs(web)
    assert cgroup_of(state).is_dir()
    process.send_signal(signal.SIGKILL)
    await_gone(lambda: runs(web), lambda: runs(warden_pid), state.exists, cgroup_of(state).exists)


def test_a_lab_ends_when_its_time_is_over(maker: Callable[..., subprocess.Popen[str]]) -> None:
    state, _, web = told(maker(life_seconds=3))
    await_gone(lambda: runs(web), state.exists, cgroup_of(state).exists)


def test_if_even_the_warden_is_killed_the_hosts_die_and_the_next_lab_sweeps(
    maker: Callable[..., subprocess.Popen[str]],
) -> None:
    state, warden_pid, web = told(maker())
    os.kill(warden_pid, signal.SIGKILL)
    await_gone(lambda: runs(web))
    assert state.is_dir()
    root = cgroup_root()
    assert root
    deadline = time.monotonic() + 5
    while state.is_dir() and time.monotonic() < deadline:
        warden.sweep(root)
        time.sleep(0.05)
    assert not state.exists()
    assert not cgroup_of(state).exists()


def test_the_sweep_spares_living_labs(make_lab: MakeLab) -> None:
    lab = make_lab(["web"])
    root = cgroup_root()
    assert root
    warden.sweep(root)
    assert lab.state.is_dir()
    assert lab.web.run("echo alive").out == "alive\n"


def test_the_machines_own_network_and_mounts_are_left_alone(make_lab: MakeLab) -> None:
    def look() -> tuple[str, ...]:
        seen = [subprocess.check_output(["ip", "-o", *what], text=True) for what in (["link"], ["addr"], ["route"])]
        names = sorted(os.listdir("/run/netns")) if Path("/run/netns").is_dir() else []
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return (*seen, *names, *mounts)

    before = look()
    lab = make_lab(["web", "client"])
    with lab.block("web", "router"):
        assert look() == before
    lab.down()
    assert look() == before
    assert not list(Path(tempfile.gettempdir()).glob(f"{lab.state.name}*"))


def test_two_labs_at_once_know_nothing_of_each_other(make_lab: MakeLab) -> None:
    one, other = make_lab(["web"], builds={"web": "one"}), make_lab(["web", "monitor"], builds={"web": "other"})
    assert other.monitor.run("curl -s http://10.77.0.11/build-id").out == "other\n"
    one.web.power_off()
    assert other.monitor.run("curl -s http://10.77.0.11/build-id").out == "other\n"
    one.down()
    assert other.monitor.run("curl -s http://10.77.0.11/build-id").out == "other\n"


def test_disks_can_be_real_ones_and_are_removed_too(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(["web"], disks=tmp_path)
    lab.web.write("/srv/note", "kept")
    assert len(list(tmp_path.rglob("upper/srv/note"))) == 1
    lab.web.power_off()
    lab.web.boot()
    assert lab.web.read("/srv/note") == "kept"
    lab.down()
    assert list(tmp_path.iterdir()) == []


def test_a_lab_that_fails_to_come_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_lab()
    lab = Lab(["web"])
    monkeypatch.setattr(lab, "_service", ["10.77.0.999/24"])
    with pytest.raises(Exception, match=r"web didn't boot: .*10\.77\.0\.999"):
        lab.up()
    assert not lab.state.exists()
    assert not cgroup_of(lab.state).exists()


def test_a_host_without_power_says_nothing_more_not_even_good_bye(make_lab: MakeLab) -> None:
    lab = make_lab(["client", "router", "web"])
    listening = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 80), 2)
print("connected", flush=True)
connection.settimeout(2)
try:
    print("heard", connection.recv(1))
except TimeoutError:
    print("silence")
"""
    process = lab.client.start(["python3", "-uc", listening, lab.web.ip])
    deadline = time.monotonic() + 5
    while "connected" not in process.output() and time.monotonic() < deadline:
        time.sleep(0.02)
    lab.web.power_off()
    process.wait(10)
    assert process.output().split() == ["connected", "silence"]
