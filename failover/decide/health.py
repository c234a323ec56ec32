"""What the readings of one check amount to: a fold, one reading at a time.

The monitor keeps a :class:`Health` for each check::

    health = Health.begin(name, now)
    health = fold(health, reading, thresholds)                   # after every look
    verdict = health.verdict(now, thresholds.stale_after_seconds)   # whenever it decides
    wait = next_look_in(health, every, confirm_every)            # until the next look

Rules, in the order in which they bite:

- ``unknown`` readings count neither for nor against; a check that gives nothing else goes stale: ``unknown``.
- After a gap (start, pause of the machine, a monitor that was blind) what was seen before no longer counts.
- The first failed look makes ``suspect``; ``fall`` failed ones in a row make ``down``; ``rise`` good ones ``up`` again.
- Where good and failed looks are mixed (a lossy line), a streak of failures has to be longer, so long that chance
  makes one in a million; until then it is ``suspect``, and so it stays while the line is lossy.
- A check that turns too often is *flapping*: ``suspect`` until it has kept still. One incident, not twenty. What then
  fails without a break for a while is ``down`` all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from failover.model import Reading, Standing, State, Verdict, format_span

CHANCE = 1e-6
"""How seldom a lossy line may look like a dead one."""
LOSSY_AT, LOSSY_UNTIL, LOSSY_OF = 3, 1, 20
"""Failures among the last 20 looks from which a line is called lossy, and down to which it stays so."""
QUICK_LOOKS = 40
"""Quick looks in a row, after which a check that is still undecided goes back to its usual pace."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When looks amount to a verdict."""

    fall: int = 3
    """Failed looks in a row that mean down, on a line that loses nothing."""
    rise: int = 2
    """Good looks in a row that mean up again."""
    window: int = 60
    """Recent looks from which loss is measured."""
    longest: int = 20
    """The longest streak that is ever asked for, however lossy the line is (unless ``fall`` is longer)."""
    stale_after_seconds: float = 30.0
    """A longer gap between looks, and those before it no longer count."""
    flap_turns: int = 5
    """Turns between up and down within ``flap_window_seconds`` that mean flapping. 5: the third fall."""
    flap_window_seconds: float = 600.0
    flap_settled_seconds: float = 120.0
    """A flapping check that fails without a break for so long isn't flapping any more: it is down."""

    @classmethod
    def for_schedule(cls, fall: int, rise: int, every: float, timeout: float) -> Thresholds:
        """For a check that looks each ``every`` seconds and takes up to ``timeout``: stale after three looks missed."""
        return cls(fall=fall, rise=rise, stale_after_seconds=max(30.0, 3 * every + timeout))


@dataclass(frozen=True, slots=True)
class Health:
    """All that is remembered of a check; never more than ``window`` looks and the turns of one flap window."""

    check: str
    standing: Standing
    reason: str
    since: datetime
    """When the standing began."""
    last: datetime
    """When the newest look that could tell was taken (at the beginning: when the check was taken up)."""
    fails: int = 0
    """Failed looks in a row, up to now."""
    goods: int = 0
    failing_since: datetime | None = None
    """The first failed look of the present streak: when the outage began, as far as we could see."""
    recent: tuple[bool, ...] = ()
    """The looks since the check was last up or down for certain, oldest first; True is a good one."""
    leaning: Standing = Standing.UNKNOWN
    """Up or down as the counts alone have it, flapping or not."""
    turns: tuple[datetime, ...] = ()
    flapping: bool = False
    mended_at: datetime | None = None
    """When it was last well again after it had been down, or its role was moved for that."""

    @classmethod
    def begin(cls, check: str, now: datetime) -> Health:
        """Nothing is known yet."""
        return cls(check, Standing.UNKNOWN, "not looked at yet", now, now)

    def verdict(self, now: datetime, stale_after_seconds: float) -> Verdict:
        """The standing as of ``now``; ``unknown`` when no look that could tell is recent, or the clock jumped."""
        age = (now - self.last).total_seconds()
        if self.standing is not Standing.UNKNOWN and abs(age) > stale_after_seconds:
            reason = (
                f"no look could tell for {format_span(age)}; before that it was {self.standing}"
                if age > 0
                else "the clock was set back; looking again"
            )
            return Verdict(self.check, Standing.UNKNOWN, reason, self.last, self.last, self.flapping)
        return Verdict(self.check, self.standing, self.reason, self.since, self.last, self.flapping)


def fold(health: Health, reading: Reading, thresholds: Thresholds) -> Health:
    """The health after one more reading.

    Raises:
        ValueError: the reading is of another check.
    """
    if reading.check != health.check:
        raise ValueError(f"a reading of {reading.check!r} was given to the health of {health.check!r}")
    if abs((reading.at - health.last).total_seconds()) > thresholds.stale_after_seconds:
        health = _forget(health, reading.at)
    if reading.state is State.UNKNOWN:
        # Not `last`: only looks that could tell keep a verdict fresh.
        return replace(health, reason=reading.reason) if health.standing is Standing.UNKNOWN else health
    good = reading.state is State.UP
    health = replace(
        health,
        last=reading.at,
        goods=health.goods + 1 if good else 0,
        fails=0 if good else health.fails + 1,
        failing_since=None if good else health.failing_since or reading.at,
        recent=(*health.recent, good)[-thresholds.window :],
    )
    health = _lean(health, reading.at, thresholds)
    return _stand(health, reading, thresholds)


def next_look_in(health: Health, every: float, confirm_every: float) -> float:
    """Seconds until the next look: soon while a change is being confirmed, else at the usual pace."""
    falling = health.fails > 0 and health.leaning is not Standing.DOWN
    rising = health.goods > 0 and health.leaning is Standing.DOWN
    if (falling or rising) and max(health.fails, health.goods) <= QUICK_LOOKS:
        return min(every, confirm_every)
    return every


def needed(health: Health, thresholds: Thresholds) -> int:
    """Failed looks in a row that mean down, given how lossy the line was before the present streak."""
    before = health.recent[: len(health.recent) - health.fails] if health.fails < len(health.recent) else ()
    lost = before.count(False)
    if not lost:
        return thresholds.fall
    # Before a streak there is a good look, so that not all of them can be lost.
    streak = math.ceil(math.log(CHANCE) / math.log(lost / len(before)))
    return max(thresholds.fall, min(streak, thresholds.longest))


def _forget(health: Health, at: datetime) -> Health:
    fresh = Health.begin(health.check, at)
    return replace(fresh, reason="looking anew after a gap", turns=health.turns, flapping=health.flapping)


def _lean(health: Health, at: datetime, thresholds: Thresholds) -> Health:
    leaning = health.leaning
    if leaning is not Standing.DOWN and health.fails >= needed(health, thresholds):
        leaning = Standing.DOWN
    elif health.goods >= (thresholds.rise if leaning is Standing.DOWN else 1):
        leaning = Standing.UP
    turned = leaning is not health.leaning and Standing.UNKNOWN not in (leaning, health.leaning)
    oldest = at - timedelta(seconds=thresholds.flap_window_seconds)
    turns = tuple(turn for turn in (*health.turns, *((at,) if turned else ())) if oldest < turn <= at)
    turns = turns[-4 * thresholds.flap_turns :]
    flapping = len(turns) >= thresholds.flap_turns or (health.flapping and len(turns) > 1)
    # What was certain starts a new measurement of loss: an outage that ended is no loss.
    recent = () if leaning is not health.leaning else health.recent
    mended_at = at if turned and leaning is Standing.UP else health.mended_at
    return replace(health, leaning=leaning, turns=turns, flapping=flapping, recent=recent, mended_at=mended_at)


def _stand(health: Health, reading: Reading, thresholds: Thresholds) -> Health:
    latest = health.recent[-LOSSY_OF:]
    lost, looks = latest.count(False), len(latest)
    was_lossy = health.standing is Standing.SUSPECT and lost > LOSSY_UNTIL
    if health.flapping and not _settled_down(health, reading, thresholds):
        standing = Standing.SUSPECT
        span = format_span(thresholds.flap_window_seconds)
        reason = f"flapping: {len(health.turns)} turns between up and down within {span}; now {reading.reason}"
    elif health.leaning is Standing.DOWN:
        standing = Standing.DOWN
        reason = f"{reading.reason}; {health.goods} of {thresholds.rise} good looks" if health.goods else reading.reason
    elif health.fails:
        standing = Standing.SUSPECT
        reason = f"{reading.reason}; {health.fails} of {needed(health, thresholds)} failed looks in a row"
    elif lost >= LOSSY_AT or was_lossy:
        standing = Standing.SUSPECT
        reason = f"lossy: {lost} of the last {looks} looks failed; this one: {reading.reason}"
    else:
        standing, reason = Standing.UP, reading.reason
    since = health.since if standing is health.standing else reading.at
    return replace(health, standing=standing, reason=reason, since=since)


def _settled_down(health: Health, reading: Reading, thresholds: Thresholds) -> bool:
    if health.leaning is not Standing.DOWN or health.failing_since is None:
        return False
    return (reading.at - health.failing_since).total_seconds() >= thresholds.flap_settled_seconds
