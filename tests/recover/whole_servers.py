"""The six servers of a whole bureau in memory, and what visitors, editors and observers see of them.

The WCM is a program with a life of its own: it reads where its database is when it starts, writes there whenever it
can, whatever anybody believes, and publishes pages that others copy. So two that write, or one that writes to the old
database, are seen at once.
"""

from __future__ import annotations

from typing import Any

from failover.model import Reading, State
from failover.servers.base import Answer
from tests.recover.bureau import SITE, WWW
from tests.recover.toy_databases import Backup as ToyBackup
from tests.recover.toy_databases import Db, Rows, copied, stamp
from tests.recover.toy_server import ToyServer
from tests.recover.toy_world import TRIP_SECONDS, Host, World, address_of

SERVERS = ("web", "web-backup", "wcm", "wcm-backup", "db", "db-backup")
PAGES = "/srv/site"
FILE = "/etc/wcm/database.env"
UNIT = "wcm.service"
WCM_PORT = ":8000"
PERIOD_SECONDS = 0.5
"""The WCM saves something so often, while it can."""


class WholeWorld(World):
    """Six machines: ``web``, ``wcm`` and ``db`` serve, their backups stand by, and editors work all the time."""

    def __init__(self) -> None:
        super().__init__(*SERVERS)
        self.written: set[str] = set()
        self.strays: list[str] = []
        """Writes that a server took though another one's database serves (I11)."""
        self.lost: list[str] = []
        """Moments at which a row that was once written stood nowhere any more (I7)."""
        self.build = 1
        """The newest pages that any WCM has published."""
        self._wrote_at = -1.0
        for name in ("web", "web-backup"):
            self.hosts[name].services["nginx"] = "active"
        self.hosts["web"].held[WWW] = ("eth0", 24)
        self.hosts["web-backup"].parked.add(WWW)
        for name in ("wcm", "wcm-backup"):
            host = self.hosts[name]
            host.services[UNIT], host.alone = "inactive", {UNIT}
            host.files[FILE] = {"DATABASE_HOST": address_of("db", self)}
            host.commands["marker"] = lambda host=host: self.mark(host)  # type: ignore[misc]
        for name in ("web", "web-backup", "wcm", "wcm-backup"):
            self.hosts[name].content[PAGES] = {**SITE, "digest": "build-1", "verified_at": self.now().isoformat()}
        self.hosts["wcm-backup"].parked_units = {UNIT}
        self.hosts["wcm"].services[UNIT] = "active"
        self.started(self.hosts["wcm"], UNIT)
        for name in ("db", "db-backup"):
            self.hosts[name].services["postgresql"] = "active"
        self.hosts["db"].databases["wcm"] = Db({"pages": {"years ago"}, "markers": set()})
        self.hosts["db-backup"].databases["wcm"] = Db({"pages": {"years ago"}}, read_only=True)
        self.hosts["db-backup"].backups["wcm-db"] = {}
        self.hosts["wcm-backup"].backups["wcm-db"] = {}
        self.written.add("years ago")
        self.serving = "db"
        self.at_call = self.editors_work

    # what people do --------------------------------------------------------------------------------------------

    def backup(self, hours_ago: float) -> None:
        """A good backup of what the database has now, in both places, as if it had been taken some hours ago."""
        rows: Rows = copied(self.hosts["db"].databases["wcm"].rows)
        taken = self.now().replace(hour=0).timestamp() - hours_ago * 3600
        at = self.now().fromtimestamp(taken, tz=self.now().tzinfo)
        backup = ToyBackup(f"wcm-db-{stamp(at)}", "wcm-db", rows, at)
        for name in ("db-backup", "wcm-backup"):
            self.hosts[name].backups["wcm-db"][backup.id] = backup

    def publish(self) -> None:
        """Editors publish the next build where the WCM works; it brings its pages to ``web`` itself, as at home."""
        if (wcm := self.working_wcm()) is None:
            return
        self.build += 1
        pages = {**SITE, "digest": f"build-{self.build}", "verified_at": self.now().isoformat()}
        wcm.content[PAGES] = dict(pages)
        if self.hosts["web"].on and self.reach("web", wcm.name):
            self.hosts["web"].content[PAGES] = dict(pages)

    def editors_work(self, where: str) -> None:
        """For ``at_call``: every WCM that runs saves something where it believes its database to be."""
        if self.time - self._wrote_at >= PERIOD_SECONDS:
            self._wrote_at = self.time
            for name in ("wcm", "wcm-backup"):
                self.save(self.hosts[name], f"row {len(self.written)}")
        if "change" in where:
            self.look_for_losses(where)

    def save(self, wcm: Host, row: str, table: str = "pages") -> bool:
        """A WCM writes a row to the database that it knows of; whether that took it."""
        server = self.database_of(wcm)
        if server is None or server.databases["wcm"].read_only or not self.runs(wcm):
            return False
        self.written.add(row)
        server.databases["wcm"].rows.setdefault(table, set()).add(row)
        if self.serving not in (server.name, None):
            self.strays.append(f"at {self.time:.3f} s {server.name} takes {row!r}, and {self.serving} serves")
        return True

    def mark(self, wcm: Host) -> str:
        """The command ``marker``: a text of its own, written through the WCM and printed."""
        text = f"marker {len(self.written)}"
        if not self.save(wcm, text, "markers"):
            raise ValueError(f"the WCM on {wcm.name} saves nothing")
        return text

    def look_for_losses(self, where: str) -> None:
        databases = [db for host in self.hosts.values() for db in host.databases.values()]
        there = {row for db in databases for rows in db.rows.values() for row in rows}
        if gone := self.written - there:
            self.lost.append(f"{where}: {len(gone)} rows stand nowhere any more, as {min(gone)!r}")

    # what is so ------------------------------------------------------------------------------------------------

    def named(self, address: str) -> Host | None:
        """The machine of a management address."""
        return next((host for name, host in self.hosts.items() if address_of(name, self) == address), None)

    def runs(self, wcm: Host) -> bool:
        return wcm.runs(UNIT) and UNIT not in wcm.broken

    def database_of(self, wcm: Host) -> Host | None:
        """The server whose database a WCM uses, if it answers: by what the WCM read when it started."""
        known = self.loaded.get(wcm.name, {}).get(FILE, {}).get("DATABASE_HOST", "")
        server = self.named(known)
        if server is None or not server.runs("postgresql") or "wcm" not in server.databases:
            return None
        return server if self.reach(wcm.name, server.name) else None

    def working_wcm(self) -> Host | None:
        """The WCM that editors can work with."""
        for name in ("wcm", "wcm-backup"):
            wcm = self.hosts[name]
            database = self.database_of(wcm)
            if self.runs(wcm) and database is not None and not database.databases["wcm"].read_only:
                return wcm
        return None

    def visitors_get(self) -> str | None:
        """The server that serves visitors, who aren't cut off where the monitor is."""
        host = self.holder(WWW)
        return host.name if host is not None and self.serves(host) else None

    def check(self, name: str, holder: str) -> Reading:
        """What a check of the monitor sees now, as if ``holder`` held its role."""
        self.pass_time(TRIP_SECONDS)
        host = self.holder(WWW) if name == "website" else self.hosts[holder]
        why = f"{host.name} doesn't answer" if host is not None else "nobody answers"
        good = host is not None and host.on and self.reach("monitor", host.name)
        if good and host is not None:
            good, why = self.state_of(name, host)
        return Reading(name, State.UP if good else State.DOWN, why, self.now())

    def state_of(self, name: str, host: Host) -> tuple[bool, str]:
        """What a machine that is reached says to a check."""
        if name == "wcm":
            if not self.runs(host):
                return False, f"nothing answers at port 8000 of {host.name}"
            found = self.database_of(host)
            return found is not None, f"200 OK by {host.name}" if found else f"503 by {host.name}: no database"
        if name == "database":
            up = host.runs("postgresql")
            return up, f"{host.name} {'accepts' if up else 'refuses'} connections"
        serves = self.serves(host)
        return serves, f"{'200 OK' if serves else '500'} by {host.name}"


class WholeServer(ToyServer):
    """One of the six behind its helper."""

    world: WholeWorld

    def _ask_facts(self, sections: list[str]) -> Answer:
        held = [{"interface": name, "ip": ip, "prefix": size} for ip, (name, size) in self.host.held.items()]
        facts = super()._ask_facts(sections)
        own = facts["addresses"]
        return {**facts, "addresses": own + held, "parked": sorted(self.host.parked), "boot_id": str(self.host.boot)}

    def _ask_see(self, timeout_seconds: float = 1.0, **args: Any) -> Answer:
        if WCM_PORT not in args.get("url", "") and "port" not in args:
            return super()._ask_see(timeout_seconds, **args)
        where = args["ip"] if "port" in args else args["url"].split("/")[2].removesuffix(WCM_PORT)
        target = self._target(where)
        seen, why = (False, "no answer")
        if target is not None:
            seen, why = self.world.state_of("database" if "port" in args else "wcm", target)
        return {"seen": seen, "reason": why, "status": 200 if seen else 503, "headers": {}, "seconds": 0, "mac": None}

    def _ask_content(self, path: str, verify: bool = False) -> Answer:  # type: ignore[override]  # nobody compares here
        answer = super()._ask_content(path)
        current = answer["current"]
        return {**answer, "current": {**current, "intact": True} if verify and current else current}

    def _ask_database(self, name: str, rows: bool = False, of: str = "", query: str = "") -> Answer:
        answer = super()._ask_database(name, rows, of)
        if query and name in self.host.databases and self.up:
            markers = self.host.databases[name].rows.get("markers", set())
            answer["value"] = " ".join(sorted(markers, key=lambda text: int(text.split()[1])))
        return answer
