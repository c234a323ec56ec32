"""Base images without a registry: this machine's own Debian, with all that our recipes will ask for inside.

An unchanged Dockerfile then builds with no network: apt finds the packages in a folder, pip the wheels in another one.
"""

import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.containers.engine import Engine
from tests.lab.base import apt_sources, codename
from tests.lab.errors import LabUnavailable
from tests.lab.layers import layer, run

ROOT = Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEBIAN = "debian:bookworm-slim"
PYTHON = {"bookworm": "3.11"}
"""The Python of the Debian that our recipes name; another release can't stand in for it."""
MACHINE = platform.machine()
PLATFORMS = [*(f"manylinux_2_{minor}_{MACHINE}" for minor in range(36, 4, -1)), f"manylinux2014_{MACHINE}"]
"""Wheels name the oldest C library that they run on."""
PROMETHEUS_STAND_IN = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && mkdir -m 777 /prometheus
USER nobody
ENTRYPOINT ["/bin/prometheus"]
"""

HOOK_DOWNLOAD = (
    'chroot "$1" apt-get -qq -y --download-only --no-install-recommends '
    "-o Dir::Cache::archives=/var/cache/apt/archives install {packages}"
)
HOOK_REPOSITORY = (
    'mkdir -p "$1/opt/debs" && mv "$1"/var/cache/apt/archives/*.deb "$1/opt/debs/" && cd "$1/opt/debs" && '
    "dpkg-scanpackages -m . > Packages 2>/dev/null"
)
HOOK_SOURCES = (
    'rm -f "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap; '
    'echo "deb [trusted=yes] file:/opt/debs ./" > "$1/etc/apt/sources.list"; '
    'printf "#!/bin/sh\\nexit 101\\n" > "$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"; '
    'printf "[global]\\nno-index = true\\nfind-links = /opt/wheels\\n" > "$1/etc/pip.conf"'
)


def provide(engine: Engine) -> None:
    """Give the engine the images that our Dockerfiles start from, and a stand-in for Prometheus' own."""
    names = sorted({*packages(*_dockerfiles()), *packages_in(PROMETHEUS_STAND_IN)})
    if codename() not in PYTHON:
        raise LabUnavailable(f"our recipes start from {DEBIAN}; this machine's apt sources are those of {codename()}")
    recipe = [codename(), MACHINE, *names, *(lock.read_text() for lock in _locks()), HOOK_SOURCES]
    base = layer("image", recipe, lambda into: _build(into, names))
    have = engine.run("image", "inspect", "-f", '{{index .Config.Labels "layer"}}', DEBIAN, check=False)
    if have.out.strip() != base.name:
        changes = ['CMD ["bash"]', f"LABEL layer={base.name}", f"ENV PATH={PATH}"]
        words = [word for change in changes for word in ("-c", change)]
        engine.run("import", *words, str(base / "base.tar"), DEBIAN, timeout=300)
    with tempfile.NamedTemporaryFile("w", suffix=".Dockerfile") as file:
        file.write(PROMETHEUS_STAND_IN)
        file.flush()
        engine.run("build", "-q", "--network=none", "-t", prometheus(), "-", stdin=Path(file.name), timeout=300)


def prometheus() -> str:
    """The image that the compose file names."""
    found = re.search(r"prom/prometheus:\S+", (ROOT / "docker-compose.yml").read_text())
    assert found
    return found[0]


def packages(*dockerfiles: Path) -> set[str]:
    """Every Debian package that these recipes install."""
    return {name for file in dockerfiles for name in packages_in(file.read_text())}


def packages_in(dockerfile: str) -> set[str]:
    """Every Debian package that a recipe installs."""
    joined = re.sub(r"\\\n", " ", dockerfile)
    found = re.findall(r"apt-get install ([^&]*)", joined)
    return {word for words in found for word in words.split() if not word.startswith("-")}


def _dockerfiles() -> list[Path]:
    return sorted((ROOT / "docker").glob("*.Dockerfile"))


def _locks() -> list[Path]:
    """Every lock that a recipe copies."""
    found = {name for file in _dockerfiles() for name in re.findall(r"\S*requirements\.lock", file.read_text())}
    return sorted({ROOT / name for name in found if (ROOT / name).exists()})


def _build(into: Path, names: list[str]) -> None:
    wheels = into / "wheels"
    for lock in _locks():
        run(
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
            "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON[codename()],
            *(word for name in PLATFORMS for word in ("--platform", name)), "--dest", str(wheels), "-r", str(lock),
        )  # fmt: skip
    hooks = [
        HOOK_DOWNLOAD.format(packages=" ".join(names)),
        HOOK_REPOSITORY,
        HOOK_SOURCES,
        f'cp -r {wheels} "$1/opt/wheels"',
    ]
    run(
        "unshare", "--mount", "--propagation=private", "mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar",
        *(f"--customize-hook={hook}" for hook in hooks), codename(), str(into / "base.tar"), "-",
        stdin=apt_sources(codename()),
    )  # fmt: skip
    shutil.rmtree(wheels)
