"""What makes a host part of the bureau's WCM: settings, keys, passwords, and who may push to the web server."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from . import disk, net
from .net import Plug
from .site import FOLDER
from .wcm import DATABASE_HOSTS, HERE, HOSTS, Made

ROLES = HERE / "roles"
WEB_HOSTS = ("web", "web-backup")
USER = 450  # as in sysusers.d/wcm.conf
KEY = "publish-{}"
SYSTEM = "etc/systemd/system"

DATABASE_ENV = """\
DATABASE_ENGINE={engine}
DATABASE_HOST={host}
DATABASE_PORT={port}
DATABASE_NAME=wcm
DATABASE_USER=wcm
DATABASE_PASSWORD_FILE=/etc/wcm/database-password
"""
# The site's address, not a server's: what is published reaches whoever serves the site.
PUBLISH_ENV = """\
PUBLISH_USER=root
PUBLISH_HOST={address}
"""


def make_keys(keys: Path, plan: Mapping[str, object]) -> None:
    """A key for each WCM, with which it may write the web server's site, and nothing else."""
    for name in HOSTS:
        if name in plan:
            disk.make_key(keys / KEY.format(name), f"publish@{name}")


def seed(into: Path, name: str, plan: Mapping[str, tuple[Plug, ...]], keys: Path, wcm: Made) -> None:
    """Complete a host's own files, if it has a part in the WCM."""
    if name in HOSTS:
        _seed_wcm(into, name, plan, keys, wcm)
    elif name in WEB_HOSTS:
        _seed_web(into, name, plan, keys, wcm)
    elif name in DATABASE_HOSTS:
        disk.put(into, "etc/failover-helper/db-password", wcm.secret("failover-password"), 0o600)
        disk.want(into / SYSTEM, f"{wcm.engine}.service")


def _seed_wcm(into: Path, name: str, plan: Mapping[str, tuple[Plug, ...]], keys: Path, wcm: Made) -> None:
    shutil.copytree(ROLES / "wcm", into, dirs_exist_ok=True, copy_function=shutil.copy)
    host = net.Plug("db", net.NUMBERS["db"]).ipv4
    disk.put(into, "etc/wcm/database.env", DATABASE_ENV.format(engine=wcm.engine, host=host, port=wcm.port))
    address = net.SERVICE_ADDRESSES[0].partition("/")[0]
    disk.put(into, "etc/wcm/publish.env", PUBLISH_ENV.format(address=address))
    secrets = {"database-password": "wcm-password", "secret-key": "secret-key", "marker-token": "marker-token"}
    for file, secret in secrets.items():
        disk.put(into, f"etc/wcm/{file}", wcm.secret(secret), 0o640)
        os.chown(into / f"etc/wcm/{file}", 0, USER)
    disk.copy(keys / KEY.format(name), into / "etc/wcm/publish-key", 0o400)
    os.chown(into / "etc/wcm/publish-key", USER, USER)
    addresses = [one.partition("/")[0] for one in net.SERVICE_ADDRESSES]
    known = []
    for web in WEB_HOSTS:
        if web in plan:
            kind, key = (keys / f"host-{web}.pub").read_text().split()[:2]
            known.append(f"{','.join([*addresses, plan[web][0].ipv4, plan[web][0].ipv6])} {kind} {key}\n")
    disk.put(into, "etc/wcm/known_hosts", "".join(known))
    if name == "wcm":
        disk.want(into / SYSTEM, "wcm.service", folder="/etc/systemd/system")


def _seed_web(into: Path, name: str, plan: Mapping[str, tuple[Plug, ...]], keys: Path, wcm: Made) -> None:
    shutil.copytree(ROLES / "web", into, dirs_exist_ok=True, copy_function=shutil.copy)
    authorized = into / "root/.ssh/authorized_keys"
    for host in HOSTS:
        if host in plan:
            key = (keys / f"{KEY.format(host)}.pub").read_text()
            command = f'restrict,command="/usr/bin/rrsync -wo {FOLDER}"'
            authorized.write_text(f"{authorized.read_text()}{command} {key}")
    if name == "web":
        shutil.rmtree(into / FOLDER[1:])
        shutil.copytree(wcm.published(), into / FOLDER[1:], copy_function=shutil.copy)
