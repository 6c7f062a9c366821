"""The identity of the running kernel and its modules. When it changes, refused programs are tried again."""

from __future__ import annotations

import os
from pathlib import Path


def identity(proc: Path = Path("/proc")) -> str:
    """Return a text that changes with the kernel, the boot and the kernel modules, which add functions and events."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        loaded = sorted(line.partition(" ")[0] for line in (proc / "modules").read_text().splitlines())
    except OSError:  # a kernel without modules, or a hidden /proc file
        boot, loaded = "", []
    return " ".join((os.uname().release, boot, *loaded))
