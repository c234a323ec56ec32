"""Time that nobody sets: it counts since boot, and every boot has a name."""

import time

CLOCK_BOOTTIME = 7  # counts while suspended; time.CLOCK_BOOTTIME came with Python 3.7


def boottime() -> float:
    """Seconds since boot, suspended time included."""
    return time.clock_gettime(CLOCK_BOOTTIME)


def boot_id() -> str:
    """The kernel's name for this boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
