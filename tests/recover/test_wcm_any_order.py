"""The WCM's failures, moves, crashes and uploads in any order: hypothesis looks for a way to have two of them.

I12: two WCMs never run at once. I9: a run is never forgotten. I10: what comes back doesn't start its WCM.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from failover.model import RunKind
from failover.recover import builtin
from tests.recover.any_order import LIMITS, WHICH, AnyOrder
from tests.recover.bureau import DAEMON
from tests.recover.wcm_bureau import MEDIA, WcmBureau


class WcmInAnyOrder(AnyOrder):
    """The bureau's WCMs, with an editor who uploads all the time."""

    role = "wcm"
    pair = ("wcm", "wcm-backup")
    links = (("monitor", "wcm"), ("monitor", "wcm-backup"), ("wcm", "wcm-backup"), ("third", "wcm"))
    verbs = ("service", "content", "fence")

    @initialize(fence=st.booleans())
    def begin(self, fence: bool) -> None:
        self.bureau = WcmBureau(self.folder, fence=fence)
        self.world.at_call = self.always

    def always(self, where: str) -> None:
        self.bureau.upload(where)

    @rule(which=WHICH)
    def it_breaks(self, which: int) -> None:
        self.world.hosts[self.pair[which]].broken.add("wcm")

    @rule(which=WHICH)
    def it_dies(self, which: int) -> None:
        host = self.world.hosts[self.pair[which]]
        if host.services["wcm"] == "active":
            host.services["wcm"] = "failed"

    @rule(which=WHICH)
    def it_is_mended(self, which: int) -> None:
        self.world.hosts[self.pair[which]].broken.clear()

    @rule(which=WHICH)
    def a_person_starts_it(self, which: int) -> None:
        """As `systemctl start` does: what is parked doesn't start."""
        host = self.world.hosts[self.pair[which]]
        if host.on and "wcm" not in host.parked_units:
            host.services["wcm"] = "active"
            self.world.changed()

    @rule(which=WHICH, room=st.sampled_from([0, 10**12]))
    def the_disk_has(self, which: int, room: int) -> None:
        self.world.hosts[self.pair[which]].free_bytes = room

    @rule(which=WHICH, why=st.sampled_from([[], ["port 8000 is held by squatter.service"]]))
    def it_could_not_start(self, which: int, why: list[str]) -> None:
        self.world.hosts[self.pair[which]].unfit[:] = why

    @precondition(lambda self: not self.busy())
    @rule(what=st.sampled_from(["park", "start", "ahead"]))
    def the_world_is_kept(self, what: str) -> None:
        plan, kind = {
            "park": (builtin.park_service("wcm", "wcm"), RunKind.KEEP),
            "start": (builtin.start_again("wcm", self.bureau.running), RunKind.KEEP),
            "ahead": (builtin.copy_ahead("wcm", self.bureau.content), RunKind.AHEAD),
        }[what]
        self.let(lambda: self.bureau.runner.keep(what, plan, kind, DAEMON))

    @invariant()
    def the_map_is_the_world_where_it_is_called_settled(self) -> None:
        if not self._begun or self.bureau.runner._past.unsettled("wcm") is not None:
            return
        assert self.bureau.runs_on in (self.bureau.stored, None)

    @invariant()
    def nothing_is_shown_that_nobody_uploaded(self) -> None:
        if self._begun:
            for host in (self.world.hosts[name] for name in self.pair):
                assert set(host.content[MEDIA]["paths"]) <= self.bureau.accepted


WcmInAnyOrder.TestCase.settings = settings(LIMITS)
TestWcmInAnyOrder = WcmInAnyOrder.TestCase
