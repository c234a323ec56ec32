"""docker-compose.yml, without an engine: whole, with everybody's address their own, the same ones as in its config."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from failover.config.enrollment import plan_for
from failover.config.load import load
from failover.servers.helper.fitness import NEEDED
from tests.containers.compose import COMPOSE
from tests.containers.lint import FILE, parse, problems
from tests.containers.lint_addresses import places, servers
from tests.containers.lint_files import froms
from tests.containers.shape import Compose

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / FILE).read_text()
OURS = sorted(file for file in (ROOT / "docker").rglob("*") if file.is_file() and "__pycache__" not in file.parts)
SIX = {"web", "web-backup", "wcm", "wcm-backup", "db", "db-backup"}

#: What engines give root in a container besides (docs.docker.com, "Runtime privilege and Linux capabilities").
GIVEN = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's files that containers are made from, to be spoiled."""
    for name in (FILE, ".dockerignore", "LICENSE", "README.md", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("docker", "configs", "failover", "tests/lab"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_nothing_is_wrong_with_it() -> None:
    assert problems(TEXT, ROOT) == []


def test_it_has_the_daemon_and_the_six_servers() -> None:
    compose = Compose.read(parse(TEXT))
    assert set(servers(compose)) == SIX
    assert "failover" in places(compose)
    assert {name for name, one in servers(compose).items() if {"NET_ADMIN", "NET_RAW"} <= set(one.cap_add)} == SIX
    assert [name for name in ("failover", *SIX) if compose.services[name].healthcheck is None] == []


def test_every_server_has_the_powers_that_a_helper_may_need() -> None:
    needed = {name.upper() for names in NEEDED.values() for name in names}
    for name, one in servers(Compose.read(parse(TEXT))).items():
        assert needed <= GIVEN | set(one.cap_add), name


SPOILT = {
    "the same address twice": ("10.77.0.12", "10.77.0.11", "web-backup: 10.77.0.11 is web already"),
    "an address outside": ("10.77.0.22}", "10.78.0.22}", "wcm-backup: 10.78.0.22 is outside 10.77.0.0/24"),
    "the gateway's": ("10.77.0.51}", "10.77.0.1}", "phone: 10.77.0.1 is the gateway already"),
    "what the engine gives away": ("10.77.0.51}", "10.77.0.200}", "phone: 10.77.0.200 is in 10.77.0.128/25"),
    "another one than the config's": ("10.77.0.31}", "10.77.0.33}", "db: 10.77.0.31 in the config, 10.77.0.33 among"),
    "the site's own address": ("10.77.0.51}", "10.77.0.100}", "address www: 10.77.0.100/24 may be somebody else's"),
    "no address at all": ("servers: {ipv4_address: 10.77.0.51}", "servers: {}", "phone: has no fixed address"),
    "a stranger's": ('"8080=10.77.0.100:80"', '"8080=10.77.0.101:80"', "10.77.0.101 is nobody's address"),
    "not an address": ("10.77.0.51}", "10.77.0.510}", "ipv4_address: value is not a valid IPv4"),
    "the monitor elsewhere": ("10.77.0.9}", "10.77.0.8}", "isn't where failover and enroll are"),
    "a way out": ("internal: true", "internal: false", "the servers' network has a way out"),
    "a key that stands twice": ("    hostname: monitor\n", "    hostname: monitor\n    hostname: m\n", "stands twice"),
    "an unknown key": ("    hostname: monitor\n", "    hostnam: monitor\n", "failover.hostnam: Extra inputs"),
    "a misspelt capability": ("cap_add: [NET_RAW]", "cap_add: [NET_RAV]", "cap_add.0: Input should be"),
    "a port for everybody": ("127.0.0.1:8080:8080", "8080:8080", "visitor.ports.0: String should match"),
    "an image without a tag": ("prom/prometheus:v3.5.0", "prom/prometheus", "prometheus.image: String should match"),
    "tomorrow's image": ("prom/prometheus:v3.5.0", "prom/prometheus:latest", "is another image tomorrow"),
    "a volume that isn't there": ("journal:/var", "jornal:/var", "failover: there is no volume 'jornal'"),
    "a volume for nobody": ("  metrics: {}", "  metrics: {}\n  tapes: {}", "volume tapes is nobody's"),
    "a network that isn't there": ("outside: {}}", "outsid: {}}", "visitor: there is no network 'outsid'"),
    "somebody who isn't there": ("service:failover", "service:failove", "no network_mode 'service:failove'"),
    "waiting for nobody": ("{keys: {cond", "{kees: {cond", "web: waits for 'kees', which there isn't"),
    "waiting for oneself": (
        "    depends_on: {enroll: {condition: service_completed_successfully}}\n",
        "    depends_on: {prometheus: {condition: service_started}}\n",
        "failover: waits for itself",
    ),
    "health that nobody measures": (
        "enroll: {condition: service_completed_successfully}",
        "phone: {condition: service_healthy}",
        "waits for phone to be healthy, which has no healthcheck",
    ),
    "a network that ends with another's container": (
        "service_started, restart: true}",
        "service_started}",
        "prometheus: has no network any more when failover is restarted",
    ),
    "a health that half of it satisfies": (
        "systemctl -q is-active ssh && systemctl -q is-active nginx",
        "systemctl is-active -q ssh nginx",
        "web: `systemctl is-active` of several units is satisfied with one",
    ),
    "a recipe that isn't there": ("docker/people.Docker", "docker/poeple.Docker", "there is no docker/poeple.Docker"),
    "a stage that isn't there": ("target: db}", "target: database}", "has no stage 'database'"),
    "a file that isn't there": ("./docker/prometheus.yml", "./docker/prom.yml", "there is no file ./docker/prom.yml"),
    "a file that it may write": ("/config/prometheus.yml:ro", "/config/prometheus.yml", "may write ./docker/prom"),
    "a password": ("    init: true\n", "    init: true\n    # password: x1\n", "'password: x' looks like a secret"),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_it_is_noticed_when_it_has(spoil: str) -> None:
    was, becomes, sentence = SPOILT[spoil]
    assert was in TEXT, f"{FILE} has no {was!r} any more"
    found = problems(TEXT.replace(was, becomes, 1), ROOT)
    assert [one for one in found if sentence in one] != [], found


FILES_SPOILT = {
    "docker/failover.yaml": ("ssh: 10.77.0.21", "ssh: 10.77.0.23", "wcm: 10.77.0.23 in the config"),
    "docker/people.Dockerfile": ("debian:bookworm-slim", "debian", "debian has no tag that holds it"),
    "docker/monitor.Dockerfile": ("COPY requirements.lock", "COPY requirements.txt", "no requirements.txt to copy"),
    ".dockerignore": ("!pyproject.toml\n", "", ".dockerignore keeps pyproject.toml out"),
    "docker/monitor/make-keys": ("umask 077", "PGPASSWORD=x", "looks like a secret"),
    "docker/prometheus.yml": ("127.0.0.1:9180", "10.77.0.13:9180", "10.77.0.13 is nobody's address"),
}


@pytest.mark.parametrize("name", FILES_SPOILT)
def test_it_is_noticed_when_a_file_is_spoilt(name: str, copy: Path) -> None:
    was, becomes, sentence = FILES_SPOILT[name]
    text = (copy / name).read_text()
    assert was in text
    assert problems(TEXT, copy) == []
    (copy / name).write_text(text.replace(was, becomes, 1))
    found = problems(TEXT, copy)
    assert [one for one in found if sentence in one] != [], found


def test_its_config_can_be_used_and_every_server_enrolled() -> None:
    config = load(ROOT / "docker/failover.yaml", trusted=True)
    (site,) = config.sites
    assert set(site.servers) == SIX
    for name in SIX:
        plan = plan_for(config, site, name)
        assert plan.monitor_addresses == site.monitor
    assert [warning for warning in config.warnings if "a person's word" not in warning] == []


@pytest.mark.parametrize("file", [one for one in OURS if one.read_bytes()[:2] == b"#!"], ids=lambda one: one.name)
def test_every_script_can_be_read_and_run(file: Path) -> None:
    assert file.stat().st_mode & 0o111 == 0o111, f"{file.name} can't be executed in an image"
    shell = file.read_text().splitlines()[0].removeprefix("#!")
    assert shell == "/bin/sh"
    done = subprocess.run([shell, "-n", str(file)], capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_unit_that_is_switched_on_is_there() -> None:
    text = (ROOT / "docker/servers.Dockerfile").read_text()
    ours = {file.name for file in OURS if file.suffix in (".service", ".timer")}
    named = {word for line in re.findall(r"systemctl enable ([^\n&]+)", text) for word in line.split()}
    assert ours <= named | {"wcm.service"}
    for file in OURS:
        if file.suffix == ".service":
            for program in re.findall(r"^Exec\w+=(/usr/local/\S+)", file.read_text(), re.MULTILINE):
                assert [one for one in OURS if str(one).endswith(program)] != [], f"{file.name} starts {program}"


@pytest.mark.parametrize("file", sorted((ROOT / "docker").glob("*.Dockerfile")), ids=lambda one: one.name)
def test_images_are_of_one_debian_and_leave_no_lists_behind(file: Path) -> None:
    text = file.read_text()
    stages = {stage for _, stage in froms(text)}
    assert {image for image, _ in froms(text)} - stages == {"debian:bookworm-slim"}
    installs = re.findall(r"^RUN (?:.*\\\n)*.*", text, re.MULTILINE)
    for run in (one for one in installs if "apt-get install" in one):
        assert "--no-install-recommends" in run
        assert "rm -rf /var/lib/apt/lists/*" in run


def compose(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Compose itself: it reads a file without Docker."""
    argv = [str(COMPOSE), "-f", str(file), "config", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_compose_itself_reads_it_as_we_do() -> None:
    done = compose(ROOT / FILE, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    theirs = json.loads(done.stdout)["services"]
    ours = Compose.read(parse(TEXT)).services
    assert set(theirs) == set(ours)
    for name, service in ours.items():
        plugs = theirs[name].get("networks", {})
        there = {net: (plug or {}).get("ipv4_address") for net, plug in plugs.items()}
        assert there == {net: plug.ipv4_address and str(plug.ipv4_address) for net, plug in service.networks.items()}
        mounts = [f"{Path(one['source']).name}:{one['target']}" for one in theirs[name].get("volumes", [])]
        assert mounts == [f"{Path(one.split(':')[0]).name}:{one.split(':')[1]}" for one in service.volumes]
        assert theirs[name].get("hostname") == service.hostname
        assert theirs[name].get("cap_add", []) == service.cap_add
        assert {one: way["condition"] for one, way in theirs[name].get("depends_on", {}).items()} == {
            one: depends.condition for one, depends in service.depends_on.items()
        }


REFUSED = {
    "hostname: monitor": ("hostnam: monitor", "services.failover.hostnam"),
    "outside: {}}": ("outsid: {}}", "undefined network outsid"),
    "journal:/var": ("jornal:/var", "undefined volume jornal"),
    "{keys: {cond": ("{kees: {cond", "depends on undefined service"),
}


@pytest.mark.parametrize("was", REFUSED)
def test_compose_itself_refuses_it_when_it_is_spoilt(was: str, tmp_path: Path) -> None:
    becomes, sentence = REFUSED[was]
    assert was in TEXT
    (tmp_path / FILE).write_text(TEXT.replace(was, becomes, 1))
    done = compose(tmp_path / FILE, "--quiet")
    assert done.returncode != 0
    assert sentence in done.stderr


def test_its_plans_are_those_that_are_played_in_the_lab() -> None:
    (ours,) = load(ROOT / "docker/failover.yaml", trusted=True).sites
    (lab,) = load(ROOT / "configs/lab-whole.yaml", trusted=True).sites
    assert set(ours.plans) == {"web", "wcm", "database"}
    for name, plan in lab.plans.items():
        steps = tuple(step for step in plan.steps if getattr(step, "address", "") != "www6")
        assert ours.plans[name] == plan.model_copy(update={"steps": steps}), name
    assert ours.backups == lab.backups
    roles = {name: role.model_copy(update={"address": ours.roles[name].address}) for name, role in lab.roles.items()}
    assert ours.roles == roles
