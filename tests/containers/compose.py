"""Docker Compose itself, of the version that requirements.lock holds: without Docker it reads and judges a file."""

import sysconfig
from pathlib import Path

COMPOSE = Path(sysconfig.get_path("scripts")) / "docker-compose"


def configure(folder: Path) -> None:
    """Make a folder a ``DOCKER_CONFIG`` with which ``docker compose`` is this one, whatever the machine has."""
    plugins = folder / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    (plugins / "docker-compose").symlink_to(COMPOSE)
