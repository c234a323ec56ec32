"""What the config leaves to us to fill in: people by name, timers by profile, what is the same for every monitor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as PathOnDisk
from typing import Any

from failover.config.messages import did_you_mean
from failover.config.model import SiteConfig, StoreSection
from failover.config.strict_yaml import Path
from failover.decide import when as conditions
from failover.decide.when import WhenError
from failover.model import Mode
from failover.probes import AnyProbe
from failover.probes.local import LocalProbe

PROFILES: Mapping[str, Mapping[str, object]] = {
    "default": {
        "every": "500ms",
        "timeout": "700ms",
        "connect_timeout": "300ms",
        "confirm_every": "100ms",
        "fall": 3,
        "rise": 2,
    },
    "fast": {
        "every": "200ms",
        "timeout": "400ms",
        "connect_timeout": "150ms",
        "confirm_every": "50ms",
        "fall": 3,
        "rise": 2,
    },
}
"""For ``http`` and ``tcp`` checks that a plan waits for: a page that is gone is known to be after 0.5 s, or 0.2 s."""

Trouble = list[tuple[Path, str]]


def prepared(value: Mapping[str, Any]) -> tuple[dict[str, Any], Trouble]:
    """The value with all that filled in, and the people that nobody knows. Wrong parts stay as they are."""
    trouble: Trouble = []
    made = dict(value)
    if isinstance(channels := made.get("channels"), Mapping):
        people = made.get("people")
        mails = {
            name: person["email"]
            for name, person in (people.items() if isinstance(people, Mapping) else ())
            if isinstance(person, Mapping) and "@" in str(person.get("email"))
        }
        known = people if isinstance(people, Mapping) else {}
        made["channels"] = {
            name: _addressed(("channels", name, "to"), channel, mails, known, trouble)
            for name, channel in channels.items()
        }
    if isinstance(checks := made.get("checks"), Mapping):
        waited_for = set(_waited_for(made.get("plans")))
        timers = PROFILES.get(str(made.get("profile", "default")), {})
        made["checks"] = {
            name: {**timers, **check} if name in waited_for and _is_quick(check) else check
            for name, check in checks.items()
        }
    return made, trouble


def with_automation(site: SiteConfig) -> SiteConfig:
    """The site with ``automation: off`` carried into its plans, so that everybody who reads them sees it."""
    if site.automation == "on":
        return site
    plans = {
        name: plan.model_copy(update={"mode": Mode.PROPOSE}) if plan.mode is Mode.AUTO else plan
        for name, plan in site.plans.items()
    }
    return site.model_copy(update={"plans": plans})


def with_monitor(site: SiteConfig, store: StoreSection) -> SiteConfig:
    """The site with what its ``local`` checks leave out: the journal's folder, and every service address."""

    def filled(check: AnyProbe) -> AnyProbe:
        if not isinstance(check, LocalProbe):
            return check
        folder = check.state_dir if "state_dir" in check.model_fields_set else PathOnDisk(store.path)
        return check.model_copy(
            update={"state_dir": folder, "addresses": check.addresses or tuple(sorted(site.addresses))}
        )

    return site.model_copy(update={"checks": {name: filled(check) for name, check in site.checks.items()}})


def _is_quick(check: object) -> bool:
    return isinstance(check, Mapping) and check.get("kind") in ("http", "tcp")


def _waited_for(plans: object) -> Iterator[str]:
    for plan in plans.values() if isinstance(plans, Mapping) else ():
        text = plan.get("when") if isinstance(plan, Mapping) else None
        if isinstance(text, str):
            try:
                yield from conditions.parse(text).checks
            except WhenError:
                continue  # said by the plan itself


def _addressed(path: Path, channel: Any, mails: Mapping[str, str], known: Mapping[str, Any], trouble: Trouble) -> Any:
    """The channel with mail addresses in place of names."""
    if not isinstance(channel, Mapping) or channel.get("kind") != "email" or not isinstance(channel.get("to"), list):
        return channel
    to: list[Any] = []
    for number, entry in enumerate(channel["to"]):
        if not isinstance(entry, str) or "@" in entry:
            to.append(entry)
        elif entry in mails:
            to.append(mails[entry])
        else:
            if entry not in known:  # else the person's own entry is wrong, and says so
                trouble.append(((*path, number), f"there is no person {entry!r}{did_you_mean(entry, known)}"))
            to.append("somebody@example.invalid")
    return {**channel, "to": to}
