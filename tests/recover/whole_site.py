"""The whole bureau's config, and every failure that its table knows: what the emergency plan on paper is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import PrivateAttr

from failover.backups import DatabaseSet
from failover.decide.situation import Limits
from failover.model import Reading, State
from failover.monitor.setup import RoleSetup, Setup
from failover.probes.base import Sight
from failover.probes.database import DatabaseProbe
from failover.probes.http import HttpProbe
from failover.probes.ping import PingProbe
from failover.recover.address import Address
from failover.recover.databases import Database
from failover.recover.plan import Plan
from failover.servers.base import Servers
from tests.recover.bureau import WWW
from tests.recover.toy_world import address_of
from tests.recover.whole_servers import FILE, PAGES, SERVERS, UNIT, WholeWorld

SITE = "shop"
PLANS: dict[str, dict[str, Any]] = {
    "web": {
        "when": "website is down",
        "mode": "auto",
        "steps": [
            {"released": {"address": "www"}},
            {"content_synced": {"from": "wcm", "path": PAGES}},
            {"address_held": {"address": "www"}},
            {"answers": {"check": "website", "marker": "X-Served-By", "every": "2s"}},
        ],
    },
    "wcm": {
        "when": "wcm is down",
        "mode": "auto",
        "steps": [
            {"service_stopped": {"unit": UNIT}},
            {"content_synced": {"from": "wcm", "path": PAGES}},
            {"connected": {"role": "wcm", "file": FILE, "format": "env", "set": {"DATABASE_HOST": "{host}"}}},
            {"service_running": {"unit": UNIT}},
            {"answers": {"check": "wcm", "every": "2s"}},
        ],
    },
    "database": {
        "when": "database is down",
        "mode": "auto",
        "steps": [
            {"service_stopped": {"unit": "postgresql"}},
            {"database_restored": {"backups": ["wcm-db"], "max_loss": "8h", "within": "10m"}},
            {
                "connected": {
                    "role": "wcm",
                    "file": FILE,
                    "format": "env",
                    "set": {"DATABASE_HOST": "{host}"},
                    "restart": UNIT,
                    "proof": {"command": "marker", "query": "newest"},
                }
            },
            {"answers": {"check": "database", "every": "2s"}},
        ],
    },
}


class Gateway(PingProbe):
    """The witness: it is always there, for what is cut off here is one server, not the monitor."""

    _world: WholeWorld = PrivateAttr()

    async def take(self, name: str, sight: Sight) -> Reading:
        return Reading(name, State.UP, "answers", self._world.now())


def the_setup(world: WholeWorld, servers: Servers) -> Setup:
    """The bureau's config: three roles, four checks, a witness, and a backup set in two places."""
    gateway = Gateway(address="10.77.0.1")
    gateway._world = world
    wcm = Database("postgresql", "wcm", "wcm", "failover", 5432, {"newest": "select …"})
    return Setup(
        site=SITE,
        roles={
            "web": RoleSetup("web", "web-backup", ("www",), PAGES),
            "wcm": RoleSetup("wcm", "wcm-backup", path=PAGES, unit=UNIT),
            "database": RoleSetup("db", "db-backup", database=wcm, unit="postgresql"),
        },
        addresses={"www": Address.model_validate({"ip": f"{WWW}/24"})},
        checks={
            "website": HttpProbe(role="web", url=f"http://{WWW}/", expect={"contains": "统计"}),
            "wcm": HttpProbe(role="wcm", url="http://{holder}:8000/health", depends_on=("database",)),
            "database": DatabaseProbe(role="database", engine="postgresql"),
            "standby": HttpProbe(server="web-backup", url="http://{server}/", fails_over=False),
        },
        witnesses={"gateway": gateway},
        plans={name: Plan.model_validate(plan) for name, plan in PLANS.items()},
        servers=servers,
        hosts={name: address_of(name, world) for name in SERVERS},
        backups={
            "wcm-db": DatabaseSet(
                role="database", on="db-backup", also_on="wcm-backup", path="/backups/wcm-db", at=("02:00",)
            )
        },
        limits=Limits(grace_seconds=0),
    )


Failures = Mapping[str, Callable[[WholeWorld], None]]


def _off(name: str) -> Callable[[WholeWorld], None]:
    return lambda world: world.power_off(name)


def _cut(name: str) -> Callable[[WholeWorld], None]:
    return lambda world: world.cut.add(("monitor", name))


def _broken(name: str, unit: str) -> Callable[[WholeWorld], None]:
    def fail(world: WholeWorld) -> None:
        world.hosts[name].broken.add(unit)
        world.hosts[name].hopeless = True

    return fail


def _db_fails(world: WholeWorld) -> None:
    world.hosts["db"].services["postgresql"] = "failed"


FAILURES: Failures = {
    "web fails": _broken("web", "nginx"),
    "web loses power": _off("web"),
    "web-backup is gone": _off("web-backup"),
    "wcm fails": _broken("wcm", UNIT),
    "wcm loses power": _off("wcm"),
    "wcm-backup is gone": _off("wcm-backup"),
    "db fails": _db_fails,
    "db loses power": _off("db"),
    "db-backup is gone": _off("db-backup"),
    "web is cut off": _cut("web"),
    "wcm is cut off": _cut("wcm"),
    "db is cut off": _cut("db"),
}
