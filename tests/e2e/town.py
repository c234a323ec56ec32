"""One lab for many incidents: between two of them everything is put back, and looked at, as after a real one.

That it can be put back is part of each incident. After one that went wrong the next gets a new lab.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.e2e.bureau import WEB_HOSTS, Bureau, Run, Status, lab_config
from tests.e2e.phone import Phone
from tests.lab import EVERYONE, Host, Lab
from tests.lab.fixtures import watched

UNITS = {"web": ("nginx",), "db": ("postgresql@15-main", "mariadb")}
"""By kind of server, what people start again there. A WCM isn't: the daemon says which one runs."""
STRANGER = "stranger"
"""A machine in the servers' segment that nobody has told us of."""


def brisk(config: str) -> str:
    """The lab's config with shorter rounds: what is done ahead or looked at in daylight needn't be waited for."""
    swaps = {
        "grace: 3s, world_every: 2s": "grace: 1s, world_every: 1s",
        "ready_every: 5s, ahead_every: 30s": "ready_every: 1s, ahead_every: 4s",
        'url: "http://{server}/", every: 5s': 'url: "http://{server}/", every: 1s',
        "role: web, every: 5s}": "role: web, every: 1s}",
        "address: www, role: web, every: 10s": "address: www, role: web, every: 2s",
    }
    for usual, short in swaps.items():
        assert usual in config, f"configs/lab.yaml has no {usual!r} any more"
        config = config.replace(usual, short)
    return config


def brisk_whole(config: str) -> str:
    """The same for the whole site's."""
    swaps = {
        "grace: 3s, world_every: 2s, ready_every: 10s, ahead_every: 30s": (
            "grace: 1s, world_every: 1s, ready_every: 3s, ahead_every: 10s"
        ),
        "set: wcm-db, every: 30s": "set: wcm-db, timeout: 4s, every: 5s",
        'url: "http://{server}/", every: 5s': 'url: "http://{server}/", every: 1s',
        "server: db-backup, every: 5s": "server: db-backup, every: 1s",
        "address: www, role: web, every: 10s": "address: www, role: web, every: 2s",
    }
    for usual, short in swaps.items():
        assert usual in config, f"configs/lab-whole.yaml has no {usual!r} any more"
        config = config.replace(usual, short)
    return config


class Town:
    """Lends its bureau to one incident after another."""

    def __init__(
        self, hosts: Sequence[str] = (*WEB_HOSTS, STRANGER), config: Callable[[], str] = lambda: brisk(lab_config()),
        wcm: str | None = None,
    ) -> None:  # fmt: skip
        self._hosts, self._config, self._wcm = hosts, config, wcm
        self._bureau: Bureau | None = None
        self.phone: Phone

    def lend(self) -> Bureau:
        """A bureau in which all is well: the one that was put back, else a new one."""
        if self._bureau is None:
            self._bureau = self._build()
        self._bureau.since = max((int(run["number"]) for run in self._bureau.runs()), default=0)
        self.phone.clear()
        return self._bureau

    def put_back(self) -> None:
        """End the incident. Raises `LabTimeout` with the daemon's status when the site can't be made well again."""
        assert self._bureau is not None
        try:
            put_back(self._bureau)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Take the lab down."""
        if self._bureau is not None:
            bureau, self._bureau = self._bureau, None
            watched.discard(bureau.lab)
            bureau.lab.down()

    def forget(self, drop_in: str) -> None:
        """Take a drop-in of the daemon's unit away, if the lab still lives."""
        if self._bureau is not None:
            monitor = self._bureau.monitor
            monitor.run(f"rm {drop_in} && systemctl daemon-reload && systemctl restart failover", timeout=60)
            self._bureau.until(all_well, 40)

    def _build(self) -> Bureau:
        lab = Lab(self._hosts, wcm=self._wcm)
        lab.up()
        watched.add(lab)
        bureau = Bureau(lab, self._config())
        self.phone = Phone(bureau.monitor)
        bureau.up()
        bureau.until(all_well, 60)
        return bureau


def whole_town(wcm: str = "postgresql", config: Callable[[str], str] = lambda text: text) -> Town:
    """All three roles and their backups, on a real WCM; ``config`` may change what its daemon is told."""
    return Town(EVERYONE, lambda: config(brisk_whole(lab_config("lab-whole"))), wcm)


def put_back(bureau: Bureau) -> None:
    """What people do after an incident: mend, acknowledge, move home; until nothing is left to say.

    The daemon is started anew, for it counts: what fails three times within ten minutes flaps, and isn't moved.
    """
    bureau.lab.heal()
    bureau.lab.each(_mend)
    for run in bureau.moves():
        if run["state"] in ("waiting", "stopped"):
            bureau.cli("abort", str(run["number"]), "--why", "the incident is over", check=False)
    for plan in bureau.status()["plans"]:
        bureau.cli("ack", plan["name"], "--why", "the incident is over")
    bureau.monitor.run("systemctl reset-failed failover; systemctl restart failover", timeout=60)
    status = bureau.until(all_well, 60)
    away = [role["name"] for role in status["roles"] if role["holder"] != role["home"]]
    for role in sorted(away):  # the database first, so that the WCM finds it at home
        bureau.cli("switch", role, "--yes", timeout=120)
        bureau.until(all_well, 60)


def _mend(host: Host) -> None:
    host.thaw()
    if not host.on:
        host.boot()
    for unit in UNITS.get(host.name.partition("-")[0], ()):
        host.run(f"systemctl kill -s CONT {unit}; systemctl reset-failed {unit}; systemctl start {unit}", check=False)


def all_well(status: Status) -> bool:
    """Every server, address, check and plan as on a quiet day, and nobody at work."""
    calm = ("quiet", "recovered", "taken", "closed")
    return (
        all(server["state"] == "reachable" for server in status["servers"])
        and all(address["state"] == "ok" for address in status["addresses"])
        and all(check["standing"] == "up" for check in status["checks"])
        and all(plan["ready"] and plan["action"] == "nothing" for plan in status["plans"])
        and all(incident["state"] in calm for incident in status["incidents"])
        and not any(_open(run) for run in status["runs"])
    )


def _open(run: Run) -> bool:
    return run["state"] in ("running", "waiting")
