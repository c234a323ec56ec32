"""keepalived as people run it: an address, a priority, and a script that asks nginx."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lab import Lab

HOME, STANDBY = "web-k", "web-k-backup"
ADDRESS = "10.77.0.200/24"
IP = ADDRESS.partition("/")[0]


@dataclass(frozen=True)
class Timers:
    """A way to set keepalived up."""

    name: str
    version: int
    advert_int: str
    script_interval: int = 1


DEFAULT = Timers("keepalived, default timers", 2, "1")
FASTEST = Timers("keepalived, fastest sensible timers (VRRPv3, advert_int 0.1)", 3, "0.1")


def config(timers: Timers, priority: int, state: str) -> str:
    """keepalived.conf(5) for one of the two hosts.

    A failing script without a weight makes keepalived give up at once: its quickest way.
    """
    return f"""global_defs {{
    vrrp_version {timers.version}
    script_user root
    enable_script_security
}}
vrrp_script nginx {{
    script "/usr/bin/curl -s -o /dev/null -m 1 http://127.0.0.1/"
    interval {timers.script_interval}
}}
vrrp_instance www {{
    state {state}
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int {timers.advert_int}
    virtual_ipaddress {{
        {ADDRESS}
    }}
    track_script {{
        nginx
    }}
}}
"""


class Keepalived:
    """Two hosts of its own that share an address of its own, in the same lab as ours: neither is in the other's way."""

    def __init__(self, lab: Lab, timers: Timers) -> None:
        self.lab = lab
        self.timers = timers

    def __enter__(self) -> Keepalived:
        for name, priority, state in ((HOME, 150, "MASTER"), (STANDBY, 100, "BACKUP")):
            self.lab[name].write("/etc/keepalived/keepalived.conf", config(self.timers, priority, state))
            self.lab[name].run("systemctl restart keepalived")
        return self

    def __exit__(self, *_: object) -> None:
        for name in (HOME, STANDBY):
            if self.lab[name].on:
                self.lab[name].run("systemctl stop keepalived; systemctl reset-failed keepalived nginx", check=False)
