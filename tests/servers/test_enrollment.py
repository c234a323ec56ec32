"""What the config makes of each server's policy: enough for its plans, and nothing more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from failover.config.config import Config
from failover.config.enrollment import content_key_file, key_file, known_hosts_file, plan_for, policy_for
from failover.config.load import load
from failover.errors import NotFound
from failover.servers.enroll_plan import items
from failover.servers.helper.core import Policy as HelpersPolicy
from failover.servers.pins import HostKey, write_pins
from tests.servers.sshd import make_key

CONFIG = """
site: {name: 厦门市统计信息网, language: zh, timezone: Asia/Shanghai}
monitor: [10.77.0.10]
store: {keys: KEYS, known_hosts: KEYS/known_hosts}
servers:
  web: {ssh: 10.77.0.11, commands: {flush: [/usr/bin/flush]}}
  web-backup: {ssh: 10.77.0.12}
  wcm: {ssh: "10.77.0.21:2222"}
  wcm-backup: {ssh: 10.77.0.22}
  mail: {ssh: 10.77.0.41}
  mail-backup: {ssh: 10.77.0.42}
roles:
  web: {home: web, standby: web-backup, address: www, path: /srv/site, owner: www-data, unit: nginx}
  wcm: {home: wcm, standby: wcm-backup, path: /srv/site, unit: wcm}
  mail: {home: mail, standby: mail-backup, address: mx}
addresses:
  www: {ip: 10.77.0.100/24, interface: eth0}
  mx: {ip: "fd77::25", interface: eth1}
checks:
  website: {kind: http, url: "http://10.77.0.100:8080/", every: 1s, timeout: 2s}
  mx: {kind: tcp, address: "fd77::25", port: 25, every: 5s, timeout: 2s}
witnesses: [{kind: ping, address: 10.77.0.1}]
channels: {ops: {kind: webhook, url: "http://10.77.0.1/hook"}}
plans:
  web:
    when: website is down
    steps:
      - released: {address: www}
      - content_synced: {from: wcm, path: /srv/site}
      - service_running: {unit: php-fpm}
      - address_held: {address: www}
      - answers: {check: website}
  post:
    role: mail
    when: mx is down
    steps: [{released: {address: mx}}, {address_held: {address: mx}}, {answers: {check: mx}}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "failover.yaml"
    file.write_text(CONFIG.replace("KEYS", str(tmp_path / "keys")))
    return load(file, trusted=True)


def policy(config: Config, server: str) -> dict[str, object]:
    text = policy_for(config, config.sites[0], server).text()
    HelpersPolicy(text.encode())
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


def test_a_web_server_may_touch_its_address_its_units_and_its_content(config: Config) -> None:
    for name in ("web", "web-backup"):
        found = policy(config, name)
        assert found["addresses"] == [{"name": "www", "ip": "10.77.0.100", "interface": "eth0", "prefix": 24}]
        assert found["units"] == ["nginx", "php-fpm"]
        assert found["paths"] == [{"path": "/srv/site", "owner": "www-data", "group": "www-data"}]
        assert found["serve"] == []
    assert policy(config, "web")["commands"] == {"flush": ["/usr/bin/flush"]}
    assert policy(config, "web-backup")["commands"] == {}


def test_a_host_check_is_told_of_its_units_on_the_servers_that_it_looks_at(config: Config) -> None:
    text = config.path.read_text().replace(
        "checks:\n", "checks:\n  wcm-host: {kind: host, role: wcm, services: [tomcat]}\n"
        "  web-host: {kind: host, server: web, services: [rsyslog]}\n",
    )  # fmt: skip
    config.path.write_text(text)
    config = load(config.path, trusted=True)
    units = {name: policy(config, name)["units"] for name in config.sites[0].servers}
    assert [name for name, each in units.items() if "tomcat" in str(each)] == ["wcm", "wcm-backup"]
    assert [name for name, each in units.items() if "rsyslog" in str(each)] == ["web"]


def test_a_source_may_serve_and_nothing_else(config: Config) -> None:
    found = policy(config, "wcm")
    assert (found["serve"], found["paths"], found["addresses"]) == ([{"path": "/srv/site"}], [], [])
    assert found["units"] == ["wcm"]
    assert found["sources"] == {}


def test_a_server_of_another_role_gets_only_what_its_own_plan_names(config: Config) -> None:
    found = policy(config, "mail-backup")
    assert found["addresses"] == [{"name": "mx", "ip": "fd77::25", "interface": "eth1", "prefix": None}]
    assert (found["units"], found["paths"], found["serve"], found["sources"]) == ([], [], [], {})


def test_every_server_may_look_at_the_places_of_the_site_and_nowhere_else(config: Config) -> None:
    assert policy(config, "mail")["see"] == sorted(
        ["10.77.0.1/32", "10.77.0.100/32", "fd77::25/128"]
        + [f"10.77.0.{n}/32" for n in (11, 12, 21, 22, 41, 42)]
    )  # fmt: skip


def test_who_pulls_and_who_serves_wait_for_each_others_keys_and_then_have_them(config: Config, tmp_path: Path) -> None:
    site = config.sites[0]
    web, wcm = plan_for(config, site, "web"), plan_for(config, site, "wcm")
    assert web.awaited_sources == ("wcm", "wcm-backup")
    assert web.pulls
    assert not web.policy.sources
    assert wcm.awaited_readers == ("web", "web-backup")
    public = make_key(tmp_path / "some").with_suffix(".pub").read_text()
    write_pins(known_hosts_file(config), "10.77.0.21", 2222, [HostKey.parse(public)])
    assert web.content_key_copy == content_key_file(config, site, "web")
    assert wcm.content_key_copy is None
    web.content_key_copy.parent.mkdir(parents=True, exist_ok=True)
    web.content_key_copy.write_text(public)
    web, wcm = plan_for(config, site, "web"), plan_for(config, site, "wcm")
    source = web.policy.sources["wcm"]
    assert (source.ssh, source.port, source.host_key) == ("10.77.0.21", 2222, str(HostKey.parse(public)))
    assert web.awaited_sources == ("wcm-backup",)
    assert wcm.awaited_readers == ("web-backup",)
    assert [(reader.server, reader.addresses) for reader in wcm.readers] == [("web", ("10.77.0.11", "10.77.0.100"))]
    assert any('from="10.77.0.11,10.77.0.100"' in text for text in texts(items(wcm, public)))


def texts(wanted: list[dict[str, object]]) -> list[str]:
    import base64

    found = []
    for item in wanted:
        forms = item.get("texts", [])
        assert isinstance(forms, list)
        found += [base64.b64decode(form).decode(errors="replace") for form in forms]
    return found


def test_the_monitors_addresses_come_from_the_config_unless_given(config: Config) -> None:
    site = config.sites[0]
    assert plan_for(config, site, "web").monitor_addresses == ("10.77.0.10",)
    assert plan_for(config, site, "web", ["10.9.9.9"]).monitor_addresses == ("10.9.9.9",)


def test_sites_keep_their_keys_apart(config: Config, tmp_path: Path) -> None:
    assert key_file(config, config.sites[0], "web") == tmp_path / "keys" / "厦门市统计信息网" / "web"


def test_an_unknown_server_is_answered_with_those_there_are(config: Config) -> None:
    with pytest.raises(NotFound, match="has no server 'wbe'; it has web, web-backup, wcm"):
        plan_for(config, config.sites[0], "wbe")
