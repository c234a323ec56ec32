"""The verb ``see``: what can be reached from here."""

import hashlib
import ipaddress
import os
import re
import select
import signal
import socket
import struct
import time
from typing import Any

from .arguments import Verb
from .errors import Answer, Args, Refused
from .neighbours import who_answers
from .netlink import addresses, links, neighbour
from .places import VERSION
from .values import among, between, flag, text
from .words import plain
from .work import Work

MAX_BODY_BYTES = 1 << 20
CONNECTED = {"seen": True, "reason": "connected"}
FIRST_WORDS = {"postgresql": struct.pack("!II", 8, 80877103), "mariadb": b""}
"""What makes a database server speak: PostgreSQL's SSLRequest (manual, 55.7); MariaDB begins by itself."""
SHOWN_HEADERS = ("server", "date", "content-type", "content-length", "last-modified", "etag", "location", "age", "via")


class TooLong(Exception):
    """A look took longer than it may."""


def ask_see(work: Work, args: Args) -> Answer:
    """Whether something answers, as seen from this server."""
    if ("url" in args) == ("ip" in args):
        raise Refused("bad-request", "see takes a url or an ip")
    if "url" in args:
        match = re.match(r"(https?)://(\[[0-9a-fA-F:.]+\]|[0-9.]+)(?::(\d{1,5}))?(/[\x21-\x7e]*)?\Z", args["url"])
        if not match:
            raise Refused(
                "bad-request", "{!r} is no http URL with an IP address for its host".format(args["url"][:200])
            )
        ip = work.policy.sees(match.group(2).strip("[]"))
    else:
        ip = work.policy.sees(args["ip"])
    began = time.monotonic()
    seconds = args.get("timeout_seconds", 2.0)

    def too_long(*_: Any) -> None:
        raise TooLong

    answer: Answer = {"seen": False, "reason": "", "mac": None}
    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, work.left()))
    try:
        if "url" in args:
            answer.update(see_url(ip, match, args, seconds))
        elif "port" in args:
            with socket.create_connection((ip, args["port"]), seconds) as sock:
                answer.update(see_speaking(sock, args["speaks"]) if "speaks" in args else CONNECTED)
        elif args.get("arp"):
            answer.update(see_neighbour(ip, seconds))
        else:
            answer.update(see_ping(ip))
    except TooLong:
        answer["reason"] = f"no whole answer within {seconds:g} s"
    except Exception as error:  # noqa: BLE001 - http.client alone raises a dozen kinds; each means that it isn't seen
        answer["reason"] = plain(error)[:300]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    answer["mac"] = answer["mac"] or neighbour(ip)
    answer["seconds"] = time.monotonic() - began
    return answer


def see_url(ip: str, match: Any, args: Args, seconds: float) -> Answer:
    """One GET; certificates aren't judged here, that is the business of a probe."""
    import http.client
    import ssl

    scheme, _, port, path = match.groups()
    host = args.get("host") or match.group(2)
    connection = http.client.HTTPConnection(ip, int(port or (443 if scheme == "https" else 80)), timeout=seconds)
    connection.connect()
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection.sock = context.wrap_socket(connection.sock, server_hostname=host.strip("[]"))
    connection.request(
        "GET", path or "/", headers={"Host": host, "User-Agent": "failover/" + VERSION, "Connection": "close"}
    )
    response = connection.getresponse()
    body = response.read(MAX_BODY_BYTES + 1)
    headers = [(name.lower(), value[:200]) for name, value in response.getheaders()]
    answer: Answer = {
        "seen": True,
        "reason": f"{response.status} {response.reason}"[:200],
        "status": response.status,
        "headers": {name: value for name, value in headers if name in SHOWN_HEADERS or name.startswith("x-")},
        "body_sha256": hashlib.sha256(body[:MAX_BODY_BYTES]).hexdigest(),
        "body_bytes": min(len(body), MAX_BODY_BYTES),
        "truncated": len(body) > MAX_BODY_BYTES,
    }
    if "contains" in args:
        answer["contains"] = args["contains"].encode() in body[:MAX_BODY_BYTES]
        if not answer["contains"]:
            answer.update(
                seen=False, reason="{}, and the page doesn't contain {!r}".format(answer["reason"], args["contains"])
            )
    return answer


def see_speaking(sock: socket.socket, engine: str) -> Answer:
    """A frozen program's kernel accepts for it; only the program itself says something."""
    sock.sendall(FIRST_WORDS[engine])
    if not sock.recv(1):
        return {"reason": "it closed the connection without a word"}
    return {"seen": True, "reason": "it speaks"}


def see_neighbour(ip: str, seconds: float) -> Answer:
    """Ask the link who has the address."""
    address = ipaddress.ip_address(ip)
    by_index = {link.index: link for link in links().values()}
    for held in addresses():
        if address in ipaddress.ip_interface(f"{held.ip}/{held.prefix}").network and by_index[held.index].ethernet:
            macs = who_answers(by_index[held.index], ip, min(seconds * 0.8, 0.2))
            return {
                "seen": bool(macs),
                "reason": "answered by " + " and ".join(macs) if macs else "nobody answers",
                "macs": macs,
                "mac": macs[0] if macs else None,
            }
    return {"reason": f"{ip} is in no network of this server"}


def see_ping(ip: str) -> Answer:
    """Three echo requests (RFC 792, RFC 4443), until one is answered or the time is over."""
    v6 = ":" in ip
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 58 if v6 else 1) as sock:
        sock.connect((ip, 0))
        mark = os.urandom(8)
        for number in range(3):
            packet = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, os.getpid() & 0xFFFF, number) + mark
            total = sum(struct.unpack("!8H", packet))
            total = (total >> 16) + (total & 0xFFFF)
            sock.send(packet[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + packet[4:])
            again = time.monotonic() + 0.3
            while number == 2 or time.monotonic() < again:
                if select.select([sock], [], [], 5 if number == 2 else max(0.0, again - time.monotonic()))[0]:
                    data = sock.recv(2048)
                    data = data if v6 else data[(data[0] & 15) * 4 :]
                    if data[:1] == (b"\x81" if v6 else b"\0") and data[8:16] == mark:
                        return {"seen": True, "reason": "answers ping"}
    return {"reason": "no answer"}


ASKS = {
    "see": Verb(
        ask_see,
        {},
        {
            "url": text(2000),
            "host": text(255),
            "contains": text(1000),
            "ip": text(50),
            "port": between(1, 65535),
            "speaks": among("postgresql", "mariadb"),
            "arp": flag,
            "timeout_seconds": between(0.01, 30),
        },
    )
}
