"""Checks that look at the wrong machine once a role has moved, and looks that come too late for who waits for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from failover.config.model import SiteConfig
from failover.config.references import Found
from failover.config.strict_yaml import Path
from failover.decide.situation import Limits
from failover.model import Mode, format_span
from failover.probes.base import Probe
from failover.probes.http import HttpProbe
from failover.probes.http_transport import URL, BadURL
from failover.probes.target import AddressedProbe
from failover.recover.steps import Answers


def crosscheck(site: SiteConfig) -> Found:
    """All of it."""
    for look in (_stays_behind, _starts_anew, _witnesses, _answers):
        yield from look(site)


def unwatched(site: SiteConfig) -> Found:
    """Standbys that a plan of mode ``auto`` counts on and no check looks at."""
    looked_at = {_one_server(check, site) for check in site.checks.values()}
    for name, plan in site.plans.items():
        called = plan.role or name
        role = site.roles.get(called)
        if role is not None and plan.mode is Mode.AUTO and role.standby not in looked_at:
            yield (
                ("roles", called, "standby"),
                f"no check looks at {role.standby}, which the plan {name} moves the role to by itself; add one with "
                f"'server: {role.standby}' and 'fails_over: false', so that people know in daylight when it fails",
            )


def _stays_behind(site: SiteConfig) -> Found:
    for name, check in site.checks.items():
        key, host = _place(check)
        server = _managed(site, host)
        if check.role is not None and server is not None:
            yield (
                ("checks", name, key),
                f"{host} is {server}, whoever has the role {check.role}: write {{holder}} in its place, or leave the "
                "role out",
            )


def _starts_anew(site: SiteConfig) -> Found:
    for name, plan in site.plans.items():
        called = plan.role or name
        role = site.roles.get(called)
        if role is None or plan.condition is None:
            continue
        for each in plan.condition.checks:
            check = site.checks.get(each)
            server = _one_server(check, site) if check is not None and check.role is None else None
            if check is not None and check.fails_over and server in (role.home, role.standby):
                yield (
                    ("plans", name, "when"),
                    f"the check {each} looks at {server}, whoever has the role {called}: once the role has moved it "
                    f"says nothing of the new holder; write 'role: {called}' and {{holder}} in it",
                )


def _witnesses(site: SiteConfig) -> Found:
    counts = Limits().witness_seconds
    named: Sequence[tuple[str | int, Probe]] = (
        list(site.witnesses.items()) if isinstance(site.witnesses, dict) else list(enumerate(site.witnesses))
    )
    for key, probe in named:
        if probe.every + probe.timeout > counts:
            yield (
                ("witnesses", key, "every"),
                f"a witness counts as seen for {format_span(counts)}, and this one is looked at every "
                f"{format_span(probe.every)}, each look up to {format_span(probe.timeout)} long: in between the "
                "monitor would take itself for cut off",
            )


def _answers(site: SiteConfig) -> Found:
    for name, plan in site.plans.items():
        for number, step in enumerate(plan.steps):
            if not isinstance(step, Answers) or (check := site.checks.get(step.check)) is None:
                continue
            where: Path = ("plans", name, "steps", number, step.kind, "within")
            if step.within < check.timeout:
                yield (
                    where,
                    f"the step gives up after {format_span(step.within)}, and one look of {step.check} may take "
                    f"{format_span(check.timeout)} (timeout)",
                )


def _one_server(check: Probe, site: SiteConfig) -> str | None:
    """The server that a check looks at whatever happens; None where that changes, or isn't a server of ours."""
    return check.server or _managed(site, _place(check)[1])


def _managed(site: SiteConfig, host: str) -> str | None:
    return next((name for name, server in site.servers.items() if server.ssh.host == host), None)


def _place(check: Probe) -> tuple[str, str]:
    """The key that says where a check looks, and the host that it says."""
    found = next(_places(check), ("", ""))
    return ("", "") if "{" in found[1] else found


def _places(check: Probe) -> Iterator[tuple[str, str]]:
    if isinstance(check, AddressedProbe) and check.address is not None:
        yield "address", check.address
    if isinstance(check, HttpProbe):
        if check.connect is not None:
            yield "connect", check.connect
        elif "{" not in check.url:
            try:
                yield "url", URL(check.url).host
            except BadURL:
                return
