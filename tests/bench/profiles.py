"""Our two profiles, beside keepalived's two sets of timers, on the lab's own config."""

from __future__ import annotations

from failover.config.prepare import PROFILES
from tests.e2e.bureau import lab_config

DEFAULT, FAST = "failover, default profile", "failover, fast profile"


def config(name: str) -> str:
    """The lab's config with one IPv4 address, as keepalived has, in one of the two profiles.

    Raises:
        ValueError: ``configs/lab.yaml`` no longer has what is changed here.
    """
    text = lab_config()
    pair = "address: [www, www6]"
    if text.count(pair) != 1:
        raise ValueError(f"configs/lab.yaml has {pair!r} {text.count(pair)} times, not once")
    lines = text.replace(pair, "address: [www]").splitlines(keepends=True)
    return f"profile: {_profile(name)}\n" + "".join(line for line in lines if "www6" not in line)


def timers() -> dict[str, str]:
    """Each profile's timers, for people."""
    return {
        name: ", ".join(f"{key} {value}" for key, value in PROFILES[_profile(name)].items()) for name in (DEFAULT, FAST)
    }


def _profile(name: str) -> str:
    return "fast" if name == FAST else "default"
