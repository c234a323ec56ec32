"""The files that the compose file and the images are made from: there, let through, held by a tag, without secrets."""

import fnmatch
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.containers.shape import Compose

SECRETS = re.compile(
    r"PRIVATE KEY-----|[\w-]*(?:password|passwd|secret|token)\s*[:=]\s*[\"']?[A-Za-z0-9+]|PGPASSWORD|MYSQL_PWD",
    re.IGNORECASE,
)
"""A key, or a password beside its name; the name of a file that holds one isn't one."""


def found(compose: Compose, root: Path) -> Iterator[str]:
    """Files that are named and not there, images that nothing holds, and what never gets into one."""
    for name, service in compose.services.items():
        for mount in service.volumes:
            source = mount.partition(":")[0]
            if source.startswith(".") and not (root / source).is_file():
                yield f"{name}: there is no file {source}"
            if source.startswith(".") and not mount.endswith(":ro"):
                yield f"{name}: may write {source}"
        if service.build is None:
            continue
        dockerfile = root / service.build.context / service.build.dockerfile
        if not dockerfile.is_file():
            yield f"{name}: there is no {service.build.dockerfile}"
            continue
        stages = {stage for _, stage in froms(dockerfile.read_text()) if stage}
        if service.build.target is not None and service.build.target not in stages:
            yield f"{name}: {service.build.dockerfile} has no stage {service.build.target!r}"
    for dockerfile in sorted((root / "docker").glob("*.Dockerfile")):
        yield from _recipe(dockerfile, root)


def _recipe(dockerfile: Path, root: Path) -> Iterator[str]:
    text = dockerfile.read_text()
    stages: set[str] = set()
    for image, stage in froms(text):
        if image not in stages and not re.fullmatch(r"[\w./-]+:(?!latest$)[\w.-]+", image):
            yield f"{dockerfile.name}: {image} has no tag that holds it"
        stages.add(stage)
    passes = ignored(root / ".dockerignore")
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        words = [word for word in line.split() if not word.startswith("--")]
        for source in [] if "--from=" in line else words[:-1]:
            if not (root / source).exists():
                yield f"{dockerfile.name}: there is no {source} to copy"
            elif not passes(source.rstrip("/")):
                yield f"{dockerfile.name}: .dockerignore keeps {source} out"


def secrets(name: str, text: str) -> Iterator[str]:
    """What in a file looks like a secret."""
    yield from (f"{name}: {one[0]!r} looks like a secret" for one in SECRETS.finditer(text))


def froms(dockerfile: str) -> list[tuple[str, str]]:
    """Image and stage name of each FROM."""
    return [(image, stage) for image, stage in re.findall(r"^FROM (\S+)(?: AS (\S+))?$", dockerfile, re.MULTILINE)]


def ignored(file: Path) -> Callable[[str], bool]:
    """What a .dockerignore of the form "nothing, but these" lets through (docs.docker.com, .dockerignore files)."""
    lines = [line.strip() for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    kept = [line[1:] for line in lines if line.startswith("!")]
    return lambda path: any(path == one or path.startswith(f"{one}/") or fnmatch.fnmatch(path, one) for one in kept)
