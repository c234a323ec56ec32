"""Talking to systemd: readiness, status, watchdog (sd_notify(3)). Without systemd all of it does nothing."""

from __future__ import annotations

import os
import socket
import time


def sd_notify(*lines: str) -> bool:
    """Send assignments to systemd, as ``READY=1``; whether there was anybody to send them to."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(1.0)
            sock.connect("\0" + address[1:] if address[0] == "@" else address)
            sock.sendall("\n".join(lines).encode())
    except OSError:
        return False  # its socket went away with it; nothing here depends on being heard
    return True


def ready(status: str) -> None:
    """Everything is up."""
    sd_notify("READY=1", _status(status))


def reloading(status: str) -> None:
    """A reload has begun; without the time, systemd from 253 on would wait for it forever."""
    sd_notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", _status(status))


def stopping(status: str) -> None:
    """The end has begun."""
    sd_notify("STOPPING=1", _status(status))


def say(status: str) -> None:
    """One line for ``systemctl status``."""
    sd_notify(_status(status))


def extend_timeout(seconds: float) -> None:
    """The stop takes longer, and is making progress."""
    sd_notify(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")


def alive() -> None:
    """The watchdog's sign of life."""
    sd_notify("WATCHDOG=1")


def watchdog_seconds() -> float | None:
    """How often systemd wants that sign at the latest, or None."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isdigit() and int(text) > 0 else None


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:500]
