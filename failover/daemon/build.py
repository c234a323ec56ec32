"""From a config to what works: settings into a :class:`Setup`, and a living session behind every server's name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from failover.config.config import Config
from failover.config.enrollment import key_file, known_hosts_file, policy_for
from failover.config.load import load
from failover.config.model import ServerSection, SiteConfig
from failover.config.secrets import locate
from failover.daemon.places import Places
from failover.decide.situation import Limits
from failover.monitor.setup import RoleSetup, Setup
from failover.notify.base import Channel
from failover.servers.base import Server
from failover.servers.fence import CommandFence
from failover.servers.policy import Policy
from failover.servers.ssh import SshServer

log = logging.getLogger(__name__)

MakeServer = Callable[[Config, SiteConfig, str], Server]


@dataclass(frozen=True)
class Furniture:
    """A site's setup, and the settings that its sessions were made from."""

    title: str
    setup: Setup
    made_from: Mapping[str, ServerSection] = field(default_factory=dict)

    def without(self, other: Furniture) -> Furniture:
        """What of this isn't used by ``other``."""
        used = {id(server) for server in other.setup.servers.values()}
        left = {name: server for name, server in self.setup.servers.items() if id(server) not in used}
        return replace(self, setup=replace(self.setup, servers=left))

    def close(self) -> None:
        """End its sessions."""
        for server in self.setup.servers.values():
            server.close()


class Builder:
    """Loads configs and furnishes sites; sessions whose settings didn't change are kept, warm as they are."""

    def __init__(self, places: Places, make_server: MakeServer | None = None) -> None:
        self._places = places
        self._make = make_server or self._ssh
        self.current: dict[str, Furniture] = {}

    def load(self) -> Config:
        """The config as it lies there now.

        Raises:
            ConfigError: with every problem of it.
        """
        config = load(self._places.config)
        for warning in config.warnings:
            log.warning("%s", warning)
        return config

    def channels(self, config: Config) -> dict[str, Channel]:
        """The channels, with their files found: systemd's credentials first, then beside the config."""
        return {name: _files_found(channel, config.path.parent) for name, channel in config.common.channels.items()}

    def furnish(self, config: Config, site: SiteConfig) -> Furniture:
        """A site's setup, with sessions that begin to open at once."""
        before = self.current.get(site.name)
        servers: dict[str, Server] = {}
        for name, section in site.servers.items():
            same = before is not None and before.made_from.get(name) == section
            if same and before is not None:
                servers[name] = before.setup.servers[name]
            else:
                servers[name] = self._make(config, site, name)
            if section.fence is not None:
                fence = f"fence:{name}"
                kept = before.setup.servers.get(fence) if same and before is not None else None
                servers[fence] = kept or CommandFence.from_settings(name, section.fence)
        allowed = partial(policy_for, config, site)
        return Furniture(site.site.name, setup(site, servers, allowed), dict(site.servers))

    @staticmethod
    def _ssh(config: Config, site: SiteConfig, name: str) -> Server:
        key, known_hosts = key_file(config, site, name), known_hosts_file(config)
        return SshServer(name, site.servers[name].ssh, known_hosts=known_hosts, key=key)


def _files_found(channel: Channel, beside: Path) -> Channel:
    named = {name: getattr(channel, name) for name in type(channel).model_fields if name.endswith("_file")}
    found = {name: locate(path, beside) for name, path in named.items() if isinstance(path, Path)}
    return channel.model_copy(update=found)


def setup(
    site: SiteConfig, servers: Mapping[str, Server], policy: Callable[[str], Policy | None] = lambda _server: None
) -> Setup:
    """A site's settings as its monitor wants them; ``policy`` says what a server's helper is to be allowed."""
    watch = site.watch
    return Setup(
        site=site.name,
        roles={
            name: RoleSetup(
                role.home,
                role.standby,
                role.address,
                role.path,
                role.database.database if role.database else None,
                role.unit,
            )
            for name, role in site.roles.items()
        },
        addresses=site.addresses,
        checks=site.checks,
        witnesses=site.named_witnesses,
        plans=site.plans,
        servers=servers,
        hosts={name: section.ssh.host for name, section in site.servers.items()},
        backups=site.backups,
        timezone=site.site.timezone,
        limits=Limits(grace_seconds=watch.grace, not_ready_seconds=watch.not_ready_after),
        policy=policy,
        world_every=watch.world_every,
        ready_every=watch.ready_every,
        ahead_every=watch.ahead_every,
        settle=watch.settle,
    )
