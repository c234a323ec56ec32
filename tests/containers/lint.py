"""What `docker compose up` would stumble over, or worse wouldn't, found without an engine."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tests.containers import lint_addresses, lint_files
from tests.containers.shape import Compose

FILE = "docker-compose.yml"


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice; merged ones may be said anew."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: {key.value!r} stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(text: str) -> dict[str, Any]:
    """The YAML of a file."""
    found = yaml.load(text, _Strict)  # noqa: S506 - a SafeLoader
    assert isinstance(found, dict)
    return found


def problems(text: str, root: Path) -> list[str]:
    """Everything that is wrong with a compose file that stands in the folder ``root``, as sentences."""
    try:
        compose = Compose.read(parse(text))
    except yaml.YAMLError as error:
        return [str(error)]
    except ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    config = parse((root / "docker/failover.yaml").read_text())
    return [
        *_references(compose),
        *_order(compose),
        *lint_addresses.found(compose, config),
        *lint_files.found(compose, root),
        *(one for name, said in _texts(text, root) for one in lint_addresses.strangers(compose, config, name, said)),
        *(one for name, said in _texts(text, root) for one in lint_files.secrets(name, said)),
    ]


def _texts(compose: str, root: Path) -> list[tuple[str, str]]:
    """Every text of ours that an image or a container gets."""
    files = (file for file in (root / "docker").rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return [(FILE, compose), *((str(file.relative_to(root)), file.read_text()) for file in sorted(files))]


def _references(compose: Compose) -> Iterator[str]:
    used = {"servers"}
    mounted = set()
    for name, service in compose.services.items():
        used |= set(service.networks)
        named = {mount.partition(":")[0] for mount in service.volumes if not mount.startswith(".")}
        mounted |= named
        yield from (f"{name}: there is no volume {one!r}" for one in sorted(named - set(compose.volumes)))
        yield from (
            f"{name}: there is no network {one!r}" for one in sorted(set(service.networks) - set(compose.networks))
        )
        if service.network_mode and service.networks:
            yield f"{name}: has a network_mode and networks"
        mode, _, other = (service.network_mode or "none").partition(":")
        if mode == "service" and not getattr(service.depends_on.get(other), "restart", None):
            yield f"{name}: has no network any more when {other} is restarted; its depends_on wants `restart: true`"
        if mode not in ("none", "service") or (mode == "service" and other not in compose.services):
            yield f"{name}: no network_mode {service.network_mode!r}"
    yield from (f"volume {one} is nobody's" for one in sorted(set(compose.volumes) - mounted))
    yield from (f"network {one} is nobody's" for one in sorted(set(compose.networks) - used))


def _order(compose: Compose) -> Iterator[str]:
    for name, service in compose.services.items():
        for other, depends in service.depends_on.items():
            there = compose.services.get(other)
            if there is None:
                yield f"{name}: waits for {other!r}, which there isn't"
            elif depends.condition == "service_healthy" and there.healthcheck is None:
                yield f"{name}: waits for {other} to be healthy, which has no healthcheck"
            elif depends.condition == "service_completed_successfully" and there.restart != "no":
                yield f"{name}: waits for the end of {other}, which is started again and again"
        if service.healthcheck and re.search(r"is-active( -\S+)* \w\S* \w", " ".join(service.healthcheck.test)):
            yield f"{name}: `systemctl is-active` of several units is satisfied with one of them"
        if name in _before(compose, name):
            yield f"{name}: waits for itself"


def _before(compose: Compose, name: str) -> set[str]:
    found: set[str] = set()
    left = [name]
    while left:
        service = compose.services.get(left.pop())
        fresh = set(service.depends_on) - found if service else set()
        found |= fresh
        left += fresh
    return found
