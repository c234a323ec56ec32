"""The verb ``address``: this server has an address, or lets go of it."""

import ipaddress
import os
from typing import List, Optional

from .announcer import announcer_file, start_announcer
from .arguments import Verb
from .errors import Answer, Args, Failed, Refused, not_in_policy
from .neighbours import send_frames, who_answers
from .netlink import (
    IFA_F_DADFAILED,
    IFA_F_TENTATIVE,
    RTM_NEWADDR,
    Held,
    addresses,
    change_address,
    links,
    mac_text,
    remove_address,
)
from .park import parked, set_parked
from .values import among, between, flag, prefix_length, text
from .words import plain
from .work import Work

PROBE_SECONDS = 0.048
"""For three questions, as RFC 5227 asks them, 16 ms apart: a host of the same LAN answers in its kernel, within one.
Visitors wait for this, and the proof that the old server let go comes before it and doesn't rest on it.
"""


def address_state(entry: Answer) -> Answer:
    """How an address stands on this server."""
    there = links()
    names = {link.index: link for link in there.values()}
    found = [held for held in addresses() if held.ip == entry["ip"]]
    state: Answer = {"held": bool(found), "interface": entry["interface"], "prefix": None, "mac": None}
    if found:
        state["interface"], state["prefix"] = names[found[0].index].name, found[0].prefix
    if state["interface"] in there:
        state["mac"] = mac_text(there[state["interface"]].mac) or None
    state["tentative"] = any(held.flags & IFA_F_TENTATIVE and not held.flags & IFA_F_DADFAILED for held in found)
    state["dadfailed"] = any(held.flags & IFA_F_DADFAILED for held in found)
    try:
        state["parked"] = entry["ip"] in parked()
    except Refused as error:
        state["parked"], state["problem"] = False, str(error)
    return state


def ask_address(work: Work, args: Args) -> Answer:
    """Whether an address is here; with ``probe``, also who else answers for it."""
    entry = work.policy.address(args["ip"])
    state = address_state(entry)
    if args.get("probe"):
        link = links().get(entry["interface"])
        if link is None or not link.carrier:
            raise Refused("no-carrier", "nobody can be asked: {} has no link".format(entry["interface"]))
        state["answered_by"] = who_answers(link, entry["ip"], args.get("probe_seconds", PROBE_SECONDS))
    return state


def change_address_to(work: Work, args: Args) -> Answer:
    """Give this server an address, or take it away."""
    entry = work.policy.address(args["ip"])
    if args["interface"] != entry["interface"]:
        raise not_in_policy("interface", args["interface"], [entry["interface"]])
    prefix = args.get("prefix")
    if prefix is not None and entry["prefix"] is not None and prefix != entry["prefix"]:
        raise not_in_policy("prefix", str(prefix), [entry["prefix"]])
    if args["want"] == "released":
        return release(work, entry)
    return hold(work, entry, prefix if prefix is not None else entry["prefix"])


def release(work: Work, entry: Answer) -> Answer:
    """Silence an address, then remove it: whatever puts it back later isn't heard."""
    work.begin()
    problem = None
    try:
        try:
            others = parked()
        except Refused:
            others = []
        if entry["ip"] not in others:
            set_parked(work, others + [entry["ip"]])
    except Refused as error:
        problem = error  # removing it matters more
    try:
        os.unlink(announcer_file(work.places, entry["ip"]))
    except OSError:
        pass  # there is none; or it stops when it finds the address gone
    names = {link.index: link.name for link in links().values()}
    for held in addresses():
        if held.ip == entry["ip"]:
            remove_address(held, names[held.index])
    state = address_state(entry)
    if state["held"]:
        raise Failed("still-held", "{} is still on {}".format(entry["ip"], state["interface"]), state)
    if not state["parked"]:
        raise Failed("not-silenced", "{} was removed, but nothing silences it: {}".format(entry["ip"], problem), state)
    return state


def hold(work: Work, entry: Answer, prefix: Optional[int]) -> Answer:
    """Put an address on its interface and tell the neighbours, unless anybody else answers for it."""
    ip, name = entry["ip"], entry["interface"]
    link = links().get(name)
    if link is None:
        raise Refused("no-interface", "there is no interface {}; there are {}".format(name, ", ".join(sorted(links()))))
    if not link.flags & 1:
        raise Refused("interface-down", f"{name} is down")
    if not link.carrier:
        raise Refused("no-carrier", f"{name} has no link")
    everywhere = addresses()
    there = [held for held in everywhere if held.ip == ip]
    if any(held.index != link.index for held in there):
        other = next(held for held in there if held.index != link.index)
        elsewhere = [one.name for one in links().values() if one.index == other.index]
        raise Refused("wrong-interface", "{} is on {} already, not on {}".format(ip, "".join(elsewhere), name))
    if prefix is None:
        prefix = network_of(ip, [held for held in everywhere if held.index == link.index and held.ip != ip], name)
    silenced = parked()
    good = bool(there) and there[0].prefix == prefix and not there[0].flags & (IFA_F_DADFAILED | IFA_F_TENTATIVE)
    if not good or ip in silenced:
        others = who_answers(link, ip, PROBE_SECONDS, stop_at_first=True)
        if others:
            sentence = "{} answers for {} already".format(" and ".join(others), ip)
            raise Refused("address-taken", sentence, dict(address_state(entry), answered_by=others))
        work.begin()
        if there and not good:
            remove_address(there[0], name)
        if ip in silenced:
            set_parked(work, set(silenced) - {ip})
        try:
            work.in_time()
            if not good:
                change_address(RTM_NEWADDR, link.index, ip, prefix)
        except (OSError, Refused) as error:
            set_parked(work, set(silenced) | {ip})
            raise Failed("not-added", f"{ip}/{prefix} on {name}: {plain(error)}", address_state(entry)) from None
    work.begin()
    send_frames(link, ip)
    state = address_state(entry)
    if not state["held"] or state["dadfailed"]:
        raise Failed("not-held", f"{ip} was added to {name} and isn't usable there", state)
    start_announcer(work.places, ip, name)
    return state


def network_of(ip: str, others: List[Held], name: str) -> int:
    """The prefix length of the interface's network that an address belongs to."""
    networks = [ipaddress.ip_interface(f"{held.ip}/{held.prefix}").network for held in others]
    fitting = [network.prefixlen for network in networks if ipaddress.ip_address(ip) in network]
    if not fitting:
        known = ", ".join(str(network) for network in networks) or "none"
        raise Refused("no-network", f"{ip} isn't in a network of {name} ({known}), and no prefix is given")
    return max(fitting)


ASKS = {"address": Verb(ask_address, {"ip": text(50)}, {"probe": flag, "probe_seconds": between(0.01, 5)})}


CHANGES = {
    "address": Verb(
        change_address_to,
        {"ip": text(50), "interface": text(15), "want": among("held", "released")},
        {"prefix": prefix_length},
    )
}
