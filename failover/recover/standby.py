"""What a plan needs whatever its steps are: a standby that is reached, current, fit and like the holder; witnesses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from failover.errors import Refused, ServerError
from failover.recover.problem import MONITOR, Problem, Severity
from failover.recover.scene import Scene
from failover.servers.enroll_plan import helper_sha256
from failover.servers.policy_drift import lacking

FITNESS_SECONDS = 10.0
_MAJOR = re.compile(r"\d+")
_VERSION_OF_ITS_OWN = "-version"
"""Commands of the policy whose name ends so only tell a version (``fitness`` of the helper)."""


def problems(scene: Scene) -> Iterator[Problem]:
    """What stands against any plan that moves the role to ``scene.new``; asks, and changes nothing."""
    yield from _witnesses(scene)
    for server in dict.fromkeys((scene.new, scene.old)):
        try:
            yield from _current(scene, server)
            if server == scene.new:
                yield from _fit(scene, server)
        except ServerError as error:
            yield Problem(str(error), _weight(scene, server), server, scene.now())
            return  # what is silent isn't asked more
    yield from _alike(scene)


def _witnesses(scene: Scene) -> Iterator[Problem]:
    """I4: a monitor that sees none of its witnesses acts on nothing."""
    seen = scene.witnesses()
    if False in seen.values() and True not in seen.values():
        names = ", ".join(seen)
        yield Problem(f"no witness is seen ({names}): what is cut off acts on nothing", "stops", MONITOR, scene.now())


def _current(scene: Scene, server: str) -> Iterator[Problem]:
    """Drift of the helper and of its policy, by what the helper says of both; as ``failover enroll --check`` has it."""
    wanted = scene.policy(server)
    if wanted is None:
        return
    said = scene.server(server).ask("facts", sections=["helper"]).get("helper") or {}
    if said.get("sha256") != (ours := helper_sha256()):
        text = f"the helper of {server} isn't current ({_differs(said.get('sha256'), ours)}): failover enroll {server}"
        yield Problem(text, _weight(scene, server), server, scene.now())
    if said.get("policy_sha256") == wanted.sha256:
        return
    theirs = _fitness(scene, server).get("policy")
    missing = lacking(wanted, theirs) if theirs is not None else ("what nobody can tell",)
    text = f"the policy of {server} isn't current ({_differs(said.get('policy_sha256'), wanted.sha256)})"
    severity: Severity = _weight(scene, server) if missing else "hint"
    lacks = f"; it lacks {', '.join(missing)}" if missing else ", and allows all that the plans need"
    yield Problem(f"{text}{lacks}: failover enroll {server}", severity, server, scene.now())


def _differs(theirs: object, ours: str) -> str:
    return f"sha256 {str(theirs or 'none')[:12]}…, not {ours[:12]}…"


def _weight(scene: Scene, server: str) -> Severity:
    """The standby has to do the work; that the holder can't is what the plan is for."""
    return "stops" if server == scene.new else "hint"


def _fit(scene: Scene, server: str) -> Iterator[Problem]:
    for lack in _fitness(scene, server).get("lacks") or ():
        yield Problem(f"{server}: {lack}", "stops", server, scene.now())


def _alike(scene: Scene) -> Iterator[Problem]:
    """The two servers of the pair run the same: what a site's own command says of its software must be equal."""
    try:
        old, new = ({**_fitness(scene, name).get("versions", {})} for name in (scene.old, scene.new))
        if scene.role.database is not None:
            name = scene.role.database.name
            engines = [scene.server(one).ask("database", name=name) for one in (scene.old, scene.new)]
            yield from _databases(scene, *engines)
    except ServerError as error:
        yield Problem(f"versions can't be compared: {error}", "hint", error.server, scene.now())
        return
    for program in sorted(set(old) | set(new)):
        here, there = old.get(program) or "nothing", new.get(program) or "nothing"
        if here != there:
            text = f"{program}: {scene.new} has {there}, {scene.old} has {here}"
            severity: Severity = "stops" if program.endswith(_VERSION_OF_ITS_OWN) else "hint"
            yield Problem(text, severity, scene.new, scene.now())


def _databases(scene: Scene, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Problem]:
    """A database's copy goes into the same major version or a later one, never into an earlier one."""
    here, there = str(old.get("version") or ""), str(new.get("version") or "")
    majors = [int(found[0]) if (found := _MAJOR.match(text)) else None for text in (here, there)]
    if majors[0] is None or majors[1] is None or majors[0] == majors[1]:
        return
    older = majors[1] < majors[0]
    text = f"{old.get('engine')}: {scene.new} has {there}, {scene.old} has {here}"
    why = ": a copy doesn't go into an earlier version" if older else ""
    yield Problem(text + why, "stops" if older else "hint", scene.new, scene.now())


def _fitness(scene: Scene, server: str) -> Mapping[str, Any]:
    try:
        return scene.server(server).ask("fitness", within_seconds=FITNESS_SECONDS)
    except Refused as error:
        if error.kind == "not-in-policy":
            return {}  # a helper from before this question; that it isn't current is said already
        raise
