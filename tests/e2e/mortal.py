"""A daemon that can be told at which line of its journal to die by SIGKILL; systemd starts it again, as ever."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.bureau import CONFIG, Bureau
from tests.e2e.town import all_well

MORTAL = Path(__file__).with_name("programs") / "mortal.py"
PROGRAM, ARMED = "/usr/local/lib/mortal.py", "/var/lib/failover/armed"
DROP_IN = "/run/systemd/system/failover.service.d/mortal.conf"


def make_mortal(bureau: Bureau) -> None:
    """From now on it can die, until `Town.forget` takes the drop-in away."""
    monitor = bureau.monitor
    if monitor.exists(DROP_IN):
        return
    monitor.write(PROGRAM, MORTAL.read_text())
    start = f"/usr/bin/python3 {PROGRAM} {ARMED} daemon --config {CONFIG}"
    monitor.write(DROP_IN, f"[Service]\nExecStart=\nExecStart={start}\n")
    monitor.run("systemctl daemon-reload; systemctl restart failover", timeout=60)
    bureau.until(all_well, 60)


def arm(bureau: Bureau, kind: str, count: int) -> None:
    """Let it die at the ``count``-th line of this kind of the next run that moves something."""
    bureau.monitor.run(f"echo {kind} {count} > {ARMED}; chown failover: {ARMED}")


def has_died(bureau: Bureau) -> bool:
    """Whether it did, and was started again."""
    restarts = int(bureau.monitor.run("systemctl show -P NRestarts failover").out)
    return not bureau.monitor.exists(ARMED) and restarts >= 1
