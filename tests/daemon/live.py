"""A bureau in real time on loopback: toys behind the daemon, and real HTTP servers where the toys hold the address.

Every host has an address of its own in 127.77.0.0/24 and serves its page there; whoever holds 127.77.0.100 serves it
there too. Nothing leaves the machine, and nothing has to be set up.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from failover.config.config import Config
from failover.config.enrollment import policy_for
from failover.config.model import SiteConfig
from failover.model import utc_now
from failover.servers.base import Answer, Server
from failover.servers.enroll_plan import helper_sha256
from tests.recover.toy_fence import ToyFence
from tests.recover.toy_server import ToyServer
from tests.recover.toy_world import World

WWW = "127.77.0.100"
GATEWAY = "127.77.0.1"
NAMES = ("web", "web-backup", "wcm", "db")
HOSTS = {name: f"127.77.0.{number}" for number, name in enumerate(NAMES, start=11)}


class Site(ThreadingHTTPServer):
    """One host's web server on one address."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, ip: str, port: int, name: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = f"<h1>统计</h1> {name}".encode()
                self.send_response(200)
                self.send_header("X-Served-By", name)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        super().__init__((ip, port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()


class LiveWorld(World):
    """The toys' world, on the real clock, with real web servers."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sites: dict[tuple[str, str], Site] = {}
        self._began = time.monotonic()
        super().__init__(*NAMES)
        first = Site(WWW, 0, "web")
        self.port = first.server_port
        first.end()
        self.gateway = Site(GATEWAY, self.port, "gateway")
        site = {"digest": "d1", "files": 100, "bytes": 1000, "text": "统计", "verified_at": utc_now().isoformat()}
        for name in ("web", "web-backup"):
            self.hosts[name].services["nginx"] = "active"
            self.hosts[name].content["/srv/site"] = dict(site)
        self.hosts["wcm"].content["/srv/site"] = dict(site)
        self.hosts["web"].held[WWW] = ("eth0", 24)
        self.hosts["web-backup"].parked.add(WWW)
        self.changed()

    @property
    def time(self) -> float:
        return time.monotonic() - self._began

    @time.setter
    def time(self, _value: float) -> None:
        """The real one can't be set."""

    def now(self) -> datetime:
        return utc_now()

    def pass_time(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.3))

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)

    def changed(self) -> None:
        """Let the web servers be as the hosts are."""
        with self._lock:
            super().changed()
            wanted = {
                (name, ip)
                for name, host in self.hosts.items()
                for ip in (*host.held, HOSTS[name])
                if self.serves(host) and host.on and ip not in host.parked
            }
            for key in [key for key in self._sites if key not in wanted]:
                self._sites.pop(key).end()
            for name, ip in sorted(wanted - set(self._sites)):
                self._sites[name, ip] = Site(ip, self.port, name)

    def serves(self, host: Any) -> bool:
        return bool(super().serves(host))

    def end(self) -> None:
        for site in (self.gateway, *self._sites.values()):
            site.end()


class LiveServer(ToyServer):
    """A toy whose facts say which addresses it has, as the helper's do."""

    world: LiveWorld

    def _ask_facts(self, sections: list[str]) -> Answer:
        answer = super()._ask_facts(sections)
        own = [{"interface": "eth0", "ip": HOSTS[self.name], "prefix": 24, "mac": self.host.mac}]
        held = [
            {"interface": where, "ip": ip, "prefix": n, "mac": self.host.mac}
            for ip, (where, n) in self.host.held.items()
        ]
        answer |= {"addresses": own + held, "parked": sorted(self.host.parked), "boot_id": str(self.host.boot)}
        return answer

    def _target(self, ip: str) -> Any:
        found = self.world.holder(ip.partition(":")[0])
        by_own = next((self.world.hosts[name] for name, own in HOSTS.items() if own == ip.partition(":")[0]), None)
        host = found or by_own
        return host if host is not None and host.on and self.world.reach(self.name, host.name) else None


def make_server(world: LiveWorld, config: Config, site: SiteConfig, name: str) -> Server:
    policy = policy_for(config, site, name)
    world.hosts[name].policy = json.loads(policy.text())
    world.hosts[name].helper.update(sha256=helper_sha256(), policy_sha256=policy.sha256)
    return LiveServer(world, name)


def config_text(world: LiveWorld, folder: Path, channel: str, *, mode: str = "auto", more: str = "") -> str:
    """A config whose servers are the toys."""
    servers = "\n".join(f"  {name}: {{ssh: {ip}}}" for name, ip in HOSTS.items())
    return f"""
site: {{name: bureau, language: zh, timezone: Asia/Shanghai}}
servers:
{servers}
roles:
  web: {{home: web, standby: web-backup, address: www, path: /srv/site}}
  wcm: {{home: wcm, standby: db, path: /srv/site}}
addresses:
  www: {{ip: {WWW}/24, interface: eth0, release: [read-back, fence, person]}}
checks:
  website:
    {{kind: http, role: web, url: "http://{WWW}:{world.port}/", expect: {{status: 200, contains: 统计}},
     every: 500ms, timeout: 1s, confirm_every: 50ms}}
  backup-page: {{kind: http, server: web-backup, url: "http://{{server}}:{world.port}/", fails_over: false, every: 1s}}
witnesses:
  - {{kind: tcp, address: {GATEWAY}, port: {world.port}, every: 1s, timeout: 1s}}
plans:
  web:
    when: website is down
    mode: {mode}
    steps:
      - released: {{address: www}}
      - content_synced: {{from: wcm, path: /srv/site}}
      - address_held: {{address: www}}
      - answers: {{check: website, marker: X-Served-By}}
watch: {{grace: 200ms, world_every: 300ms, ready_every: 1s, ahead_every: 2s, settle: 1s}}
channels:
  robot: {{kind: webhook, url: "{channel}", every: 1ms}}
store: {{path: {folder}/state, keys: {folder}/keys, known_hosts: {folder}/known_hosts}}
console: {{socket: {folder}/api.sock, listen: null}}
{more}
"""


@contextlib.contextmanager
def live_world() -> Iterator[LiveWorld]:
    world = LiveWorld()
    try:
        yield world
    finally:
        world.end()


__all__ = ["HOSTS", "WWW", "LiveWorld", "ToyFence", "config_text", "live_world", "make_server"]
