"""The id of this boot of the kernel. Process ids and monotonic times are valid only within one boot."""

from __future__ import annotations

import functools


@functools.cache
def boot_id() -> str:
    """Return the id of this boot; empty where the kernel has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123 (pathlib costs memory)
            return file.read().strip()
    except OSError:
        return ""
