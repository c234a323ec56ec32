"""The web's failures, orders, crashes and late answers in any order: hypothesis looks for a way to break an invariant.

I1: nobody ever shares the address. I9: a run is never forgotten. I10: what comes back doesn't take the address.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from failover.model import RunKind
from failover.recover import builtin
from tests.recover.any_order import LIMITS, WHICH, AnyOrder
from tests.recover.bureau import DAEMON, WWW, Bureau


class WebInAnyOrder(AnyOrder):
    """The bureau's web servers."""

    role = "web"
    pair = ("web", "web-backup")
    links = (("monitor", "web"), ("monitor", "web-backup"), ("web", "web-backup"), ("db", "web"))
    verbs = ("address", "content", "fence")

    @initialize(fence=st.booleans())
    def begin(self, fence: bool) -> None:
        self.bureau = Bureau(self.folder, fence=fence)

    @rule(which=WHICH)
    def nginx_breaks(self, which: int) -> None:
        self.world.hosts[self.pair[which]].broken.add("nginx")

    @rule(which=WHICH)
    def nginx_is_mended(self, which: int) -> None:
        self.world.hosts[self.pair[which]].broken.clear()

    @rule(which=WHICH, boot_config=st.booleans())
    def its_network_config_is(self, which: int, boot_config: bool) -> None:
        self.world.hosts[self.pair[which]].boot_config = {WWW: ("eth0", 24)} if boot_config else {}

    @rule(which=WHICH)
    def something_puts_the_address_back(self, which: int) -> None:
        """DHCP, networkd, a person: where it's parked it isn't heard (N9)."""
        host = self.world.hosts[self.pair[which]]
        if WWW in host.parked:
            host.held[WWW] = ("eth0", 24)
            self.world.changed()

    @rule(digest=st.sampled_from(["d2", "d3"]))
    def something_is_published(self, digest: str) -> None:
        self.bureau.publish(digest)

    @precondition(lambda self: not self.busy())
    @rule(what=st.sampled_from(["park", "reassert", "ahead", "follow"]))
    def the_world_is_kept(self, what: str) -> None:
        plan, kind = {
            "park": (builtin.park("web", "www"), RunKind.KEEP),
            "reassert": (builtin.reassert("web", "www"), RunKind.KEEP),
            "ahead": (builtin.copy_ahead("web", self.bureau.content), RunKind.AHEAD),
            "follow": (builtin.follow("web", self.bureau.content), RunKind.AHEAD),
        }[what]
        self.let(lambda: self.bureau.runner.keep(what, plan, kind, DAEMON))

    @invariant()
    def the_map_is_the_world_where_it_is_called_settled(self) -> None:
        if not self._begun or self.bureau.runner._past.unsettled("web") is not None:
            return
        assert self.bureau.holds in (self.bureau.stored, None)


WebInAnyOrder.TestCase.settings = settings(LIMITS)
TestWebInAnyOrder = WebInAnyOrder.TestCase
