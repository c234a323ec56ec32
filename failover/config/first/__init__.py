"""A first config, with a comment for whoever reads it next: what ``failover init`` writes."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Literal

import jinja2

from failover.config.strict_yaml import NotYaml, read

Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class First:
    """What a person knows about a site on the first day: a web server with its backup, often a WCM, one address."""

    name: str
    web: str
    web_backup: str
    address: str
    """With its prefix, as ``10.77.0.100/24``."""
    gateway: str
    language: Language = "en"
    timezone: str = "UTC"
    monitor: str = ""
    """Where the monitor comes from; enrolling finds it out where it's left out."""
    wcm: str = ""
    wcm_backup: str = ""
    interface: str = "eth0"
    content: str = "/srv/site"
    unit: str = "nginx"
    text: str = ""
    """What must be on the site's first page."""
    mode: str = "propose"
    mail_to: str = ""
    mail_from: str = ""
    """By default ``failover@`` and the domain of ``mail_to``."""
    mail_server: str = "localhost"
    webhook_file: str = "secrets/robot-url"
    """Where people aren't told by mail: the file that holds the URL to post to."""

    @property
    def url(self) -> str:
        """Of the site's first page, at the address that visitors use."""
        host = self.address.partition("/")[0]
        return f"http://[{host}]/" if ":" in host else f"http://{host}/"

    def text_of_config(self) -> str:
        """The file. It may still be wrong, as its values may: load it before it's put anywhere."""
        folder = resources.files("failover.config.first")
        source = (folder / f"{self.language}.yaml.j2").read_text(encoding="utf-8")
        environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,  # noqa: S701 - it's YAML, and every value goes through `yaml`
        )
        environment.filters["yaml"] = scalar
        values = asdict(self) | {
            "name": " ".join(self.name.split()),
            "url": self.url,
            "mail_from": self.mail_from or f"failover@{self.mail_to.rpartition('@')[2]}",
            "mail_is_local": _is_here(self.mail_server),
        }
        return environment.from_string(source).render(values)


def scalar(text: str) -> str:
    """A text as a YAML scalar that is read back as the same text; in quotes only where it must be."""
    try:
        plain = read(f"{{key: {text}, end: .}}".encode()).value == {"key": text, "end": "."}
    except NotYaml:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)


def _is_here(server: str) -> bool:
    try:
        return ipaddress.ip_address(server).is_loopback
    except ValueError:
        return server == "localhost"
