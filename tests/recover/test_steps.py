"""Each kind of step: what it has to do, that it's done then, and that doing it twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from failover.errors import NeedsPerson, Refused, StepRefused, StepUnfinished
from failover.model import RunKind, Token
from failover.recover.fits import KEEPS_SECONDS
from failover.recover.outcome import Made, Outcome
from failover.recover.readiness import ready
from failover.recover.scene import Scene
from failover.recover.step import Step
from failover.recover.steps import AnyStep
from tests.recover.bureau import WWW, Bureau

STEP: TypeAdapter[Step] = TypeAdapter(AnyStep)


class Doing:
    """A scene whose changes are made at once, and remembered as the engine does."""

    def __init__(self, bureau: Bureau, kind: RunKind = RunKind.RECOVER) -> None:
        self.bureau = bureau
        self.notes: list[str] = []
        self.all: list[Made] = []
        scene = bureau.scene("web", kind)
        self.scene: Scene = replace(
            scene, clock=bureau.world.monotonic, wait=bureau.world.pass_time, note=self.notes.append,
            opened_at=scene.now(),
            made=lambda server, verb: [made for made in self.all if (made.server, made.verb) == (server, verb)],
        )  # fmt: skip

    def do(self, step: Step, ask: Callable[[Scene], Any] | None = None) -> list[str]:
        """Everything that is left of the step, once."""
        said = []
        todo = (ask or step.todo)(self.scene)
        outcome: Outcome | None = None
        try:
            while True:
                change = todo.send(outcome)
                said.append(change.says)
                answer = self.scene.server(change.server).change(
                    change.verb, change.args, token=Token(1, 1), within_seconds=change.within_seconds
                )
                outcome = Outcome("ok", answer=answer)
                at, number = self.scene.now(), len(self.all) + 1
                self.all.append(Made(1, change.server, change.verb, change.args, change.says, outcome, at, number))
        except StopIteration:
            return said


def step(**words: Any) -> Step:
    return STEP.validate_python(words)


def nothing(bureau: Bureau) -> None:
    """The world as it is."""


def old_is_parked(bureau: Bureau) -> None:
    bureau.world.hosts["web"].held.clear()
    bureau.world.hosts["web"].parked.add(WWW)


def nginx_is_off(bureau: Bureau) -> None:
    bureau.world.hosts["web-backup"].services["nginx"] = "inactive"


def published(bureau: Bureau) -> None:
    bureau.publish("d2")


def standby_is_loud(bureau: Bureau) -> None:
    bureau.world.hosts["web-backup"].parked.clear()


@pytest.mark.parametrize(
    ("words", "prepare", "says"),
    [
        ({"released": {"address": "www"}}, nothing, "take 10.77.0.100/24 from web"),
        ({"address_held": {"address": "www"}}, old_is_parked, "give 10.77.0.100/24 on eth0 to web-backup"),
        (
            {"content_synced": {"from": "wcm", "path": "/srv/site"}},
            published,
            "copy /srv/site from wcm to web-backup: 100 files, 1000 bytes",
        ),
        ({"parked": {"address": "www"}}, standby_is_loud, "park 10.77.0.100/24 on web-backup"),
        ({"service_running": {"unit": "nginx"}}, nginx_is_off, "start nginx on web-backup"),
        ({"service_stopped": {"unit": "nginx"}}, nothing, "stop nginx on web"),
        ({"service_running": {"unit": "nginx", "on": "old", "heals": "website"}}, nothing, "restart nginx on web"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_step_says_what_is_left_does_it_and_is_done(
    bureau: Bureau, words: dict[str, Any], prepare: Callable[[Bureau], None], says: str
) -> None:
    prepare(bureau)
    doing, one = Doing(bureau), step(**words)
    supposed = replace(doing.scene, dry=True)
    assert [change.says for change in one.todo(supposed)] == [says]
    assert doing.do(one) == [says]
    after = repr(bureau.world.hosts)
    assert doing.do(one) == []
    assert repr(bureau.world.hosts) == after
    assert one.title(doing.scene)


@pytest.mark.parametrize(
    ("words", "prepare", "says"),
    [
        ({"released": {"address": "www"}}, nothing, "give 10.77.0.100/24 on eth0 back to web"),
        ({"address_held": {"address": "www"}}, old_is_parked, "take 10.77.0.100/24 from web-backup"),
        ({"service_running": {"unit": "nginx"}}, nginx_is_off, "stop nginx on web-backup again"),
        ({"service_stopped": {"unit": "nginx"}}, nothing, "start nginx on web again"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_step_that_was_done_can_be_taken_back_once(
    bureau: Bureau, words: dict[str, Any], prepare: Callable[[Bureau], None], says: str
) -> None:
    prepare(bureau)
    doing, one = Doing(bureau), step(**words)
    before = repr(bureau.world.hosts)
    assert doing.do(one, one.undo) == [], "what this run didn't do it doesn't take back"
    doing.do(one)
    assert one.undo_problem(doing.scene) is None
    assert doing.do(one, one.undo) == [says]
    assert doing.do(one, one.undo) == []
    assert repr(bureau.world.hosts).replace("run=1", "run=0").replace("epoch=1", "epoch=0") == before


def test_a_release_is_not_taken_back_while_the_new_server_may_hold_it(bureau: Bureau) -> None:
    doing, released = Doing(bureau), step(released={"address": "www"})
    doing.do(released)
    doing.do(step(address_held={"address": "www"}))
    with pytest.raises(StepRefused, match="web-backup still holds"):
        doing.do(released, released.undo)
    bureau.world.cut.add(("monitor", "web-backup"))
    with pytest.raises(StepRefused, match="nothing proves"):
        doing.do(released, released.undo)


def test_an_address_is_not_given_without_proof_even_if_no_step_asked_for_it(bureau: Bureau) -> None:
    with pytest.raises(StepRefused, match="web still holds it"):
        Doing(bureau).do(step(address_held={"address": "www"}))


def test_an_ipv6_address_is_held_once_it_is_not_tentative_any_more(bureau: Bureau) -> None:
    old_is_parked(bureau)
    server = bureau.servers["web-backup"]
    plain = server._ask_address
    usable = bureau.world.time + 1.5
    server._ask_address = lambda ip: {
        **plain(ip),
        "tentative": bool(plain(ip)["held"]) and bureau.world.time < usable,
    }
    doing, held = Doing(bureau), step(address_held={"address": "www"})
    assert len(doing.do(held)) == 1
    assert doing.do(held) == []
    assert bureau.world.time >= usable


def test_a_duplicate_that_the_kernel_found_is_not_held(bureau: Bureau) -> None:
    old_is_parked(bureau)
    server = bureau.servers["web-backup"]
    plain = server._ask_address
    server._ask_address = lambda ip: {**plain(ip), "dadfailed": bool(plain(ip)["held"]), "tentative": True}
    doing, held = Doing(bureau), step(address_held={"address": "www"})
    doing.do(held)
    assert doing.do(held) == ["give 10.77.0.100/24 on eth0 to web-backup"]


def test_a_service_that_may_still_run_is_not_called_stopped(bureau: Bureau) -> None:
    bureau.world.cut.add(("monitor", "web"))
    with pytest.raises(
        NeedsPerson,
        match=r"Is web switched off or unplugged\? Nothing proves that wcm stands still on web: web doesn.t answer",
    ) as need:
        Doing(bureau).do(step(service_stopped={"unit": "wcm"}))
    assert need.value.word == "off:web"


def test_what_readiness_found_fit_just_now_is_not_asked_again_before_a_recovery_moves_anything(bureau: Bureau) -> None:
    nginx_is_off(bureau)
    host, running = bureau.world.hosts["web-backup"], step(service_running={"unit": "nginx"})
    recovery, switch = Doing(bureau), Doing(bureau, RunKind.SWITCH)
    switch.scene = replace(switch.scene, fits=recovery.scene.fits)
    assert list(running.problems(recovery.scene)) == []
    host.unfit.append("the schema is newer")
    assert recovery.do(running, running.prepare) == [], "readiness has asked, and found it fit"
    with pytest.raises(StepRefused, match="the schema is newer"):
        switch.do(running, running.prepare)
    with pytest.raises(Refused, match="the schema is newer"):
        recovery.do(running)  # whatever was known, the start itself asks
    bureau.world.pass_time(KEEPS_SECONDS + 1)
    with pytest.raises(StepRefused, match="the schema is newer"):
        recovery.do(running, running.prepare)


def test_what_readiness_found_unfit_is_asked_again_though_it_was_fit_once(bureau: Bureau) -> None:
    nginx_is_off(bureau)
    running, doing = step(service_running={"unit": "nginx"}), Doing(bureau)
    assert list(running.problems(doing.scene)) == []
    bureau.world.hosts["web-backup"].unfit.append("the schema is newer")
    assert [problem.severity for problem in running.problems(doing.scene)] == ["stops"]
    with pytest.raises(StepRefused, match="the schema is newer"):
        doing.do(running, running.prepare)


def test_a_unit_that_is_not_there_is_named(bureau: Bureau) -> None:
    with pytest.raises(StepRefused, match="web-backup has no unit httpd"):
        Doing(bureau).do(step(service_running={"unit": "httpd"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": 500}, "answered with status 500"),
        ({"seen": False, "reason": "refused"}, "doesn't see it: refused"),
        ({"headers": {"x-served-by": "web"}}, "was served by web"),
        ({"headers": {}}, "somebody without a name"),
        ({"mac": "02:ff:ff:ff:ff:ff"}, "reached 02:ff:ff:ff:ff:ff, and web-backup is"),
    ],
)
def test_a_third_place_must_get_the_page_from_the_new_holder_itself(
    bureau: Bureau, change: dict[str, Any], said: str
) -> None:
    old_is_parked(bureau)
    doing = Doing(bureau)
    doing.do(step(address_held={"address": "www"}))
    answers = step(answers={"check": "website", "marker": "X-Served-By", "within": "1s"})
    assert doing.do(answers) == []
    server = bureau.servers["db"]
    plain = server._ask_see
    server._ask_see = bureau.servers["wcm"]._ask_see = lambda **args: {**plain(**args), **change}
    with pytest.raises(StepUnfinished, match=said) as unfinished:
        doing.do(answers)
    assert unfinished.value.serves


def test_where_no_third_place_can_look_that_is_said(bureau: Bureau) -> None:
    old_is_parked(bureau)
    doing = Doing(bureau)
    doing.do(step(address_held={"address": "www"}))
    bureau.world.power_off("db")
    bureau.world.power_off("wcm")
    assert doing.do(step(answers={"check": "website"})) == []
    assert "no third place could look" in doing.notes[0]


# readiness -------------------------------------------------------------------------------------------------------


def test_a_ready_plan_has_no_problems_and_asking_changes_nothing(bureau: Bureau) -> None:
    before = repr(bureau.world.hosts)
    assert ready(bureau.plans["web"], bureau.scene("web", RunKind.RECOVER)) == []
    assert repr(bureau.world.hosts) == before


def full_disk(bureau: Bureau) -> None:
    bureau.publish("d2", bytes=5000)
    bureau.world.hosts["web-backup"].free_bytes = 10


def no_copy(bureau: Bureau) -> None:
    bureau.world.hosts["web-backup"].content.clear()


def old_copy(bureau: Bureau) -> None:
    bureau.world.pass_time(7200)


def standby_off(bureau: Bureau) -> None:
    bureau.world.power_off("web-backup")


def holder_off(bureau: Bureau) -> None:
    bureau.world.power_off("web")


def wcm_off(bureau: Bureau) -> None:
    bureau.world.power_off("wcm")


def facts(bureau: Bureau, **more: Any) -> None:
    server = bureau.servers["web-backup"]
    plain = server._ask_facts
    server._ask_facts = lambda sections: {**plain(sections), **more}


def wrong_interface(bureau: Bureau) -> None:
    facts(bureau, interfaces=[{"name": "ens3", "up": True, "carrier": True}])


def no_link(bureau: Bureau) -> None:
    facts(bureau, interfaces=[{"name": "eth0", "up": True, "carrier": False}])


def other_subnet(bureau: Bureau) -> None:
    facts(bureau, addresses=[{"interface": "eth0", "ip": "192.0.2.7", "prefix": 24}])


def narrow_network(bureau: Bureau) -> None:
    facts(bureau, addresses=[{"interface": "eth0", "ip": "10.77.0.98", "prefix": 27}])


def third_machine(bureau: Bureau) -> None:
    bureau.world.strangers["10.77.0.100"] = "02:FF:00:00:00:01"


def third_machine_and_holder_off(bureau: Bureau) -> None:
    third_machine(bureau)
    bureau.world.power_off("web")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (nginx_is_off, "stops: web-backup doesn't serve website yet"),
        (full_disk, "stops: web-backup has 10 bytes free for /srv/site"),
        (no_copy, "stops: web-backup has no verified copy of /srv/site yet"),
        (old_copy, "loss: the copy of /srv/site on web-backup was last verified 2 h ago"),
        (standby_off, "stops: web-backup: no session"),
        (holder_off, "hint: web: no session"),
        (wcm_off, "loss: wcm can't say what it has (no session): the last verified copy would serve"),
        (wrong_interface, "stops: web-backup has no interface eth0; it has ens3"),
        (no_link, "stops: eth0 of web-backup is without a link"),
        (other_subnet, "stops: web-backup's eth0: 10.77.0.100 isn't in its network (192.0.2.0/24)"),
        (narrow_network, "stops: web-backup's eth0: 10.77.0.100/24 is wider than its network (10.77.0.96/27)"),
        (third_machine, "stops: 02:ff:00:00:00:01 answers for 10.77.0.100 and isn't web"),
        (third_machine_and_holder_off, "hint: 02:ff:00:00:00:01 answers for 10.77.0.100; whether that is web"),
    ],
)
def test_what_would_stop_a_plan_is_known_in_daylight(
    bureau: Bureau, prepare: Callable[[Bureau], None], said: str
) -> None:
    prepare(bureau)
    problems = ready(bureau.plans["web"], bureau.scene("web", RunKind.RECOVER))
    told = [f"{problem.severity}: {problem.text}" for problem in problems]
    assert any(line.startswith(said) for line in told), told
