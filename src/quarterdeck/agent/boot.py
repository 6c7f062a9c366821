"""Which run of the kernel this is: process ids, and times of the monotonic clock, mean nothing in the next.

Standard library only: the keeper is to stay small.
"""

from __future__ import annotations

import functools


@functools.cache
def boot_id() -> str:
    """The kernel's name for it; empty where it has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123 (pathlib costs memory)
            return file.read().strip()
    except OSError:
        return ""
