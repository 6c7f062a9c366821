"""Chromium for experiments: the cost of its processes, and what `page.js` measures in the page.

Owns how the processes of the browser are found. How it is started is the tests' `chromium`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import BrowserContext, Page

from bench.measure import process_cpu_s

_SCRIPT = Path(__file__).parent / "page.js"


def measured(context: BrowserContext) -> None:
    """Add `page.js` to every page that is opened in this window from now on."""
    context.add_init_script(path=_SCRIPT)


def interactions(page: Page, event: str, shown: str, act: Callable[[], object]) -> list[float]:
    """Return the milliseconds from each `event` that `act` causes to the frame after the one that shows its effect.

    `shown` is a JavaScript expression that is true when the effect is in the page.
    """
    page.evaluate(f"bench.measure({event!r}, () => ({shown}))")
    act()
    times: list[float] = page.evaluate("bench.times()")
    return times


def browser_pids() -> list[int]:
    """Return the processes of the browser that this process has started."""
    children = psutil.Process(os.getpid()).children(recursive=True)
    return [child.pid for child in children if _name(child).startswith("chrom")]


def browser_cpu_s() -> float:
    """Return the CPU time so far of all processes of the browser."""
    return process_cpu_s(*browser_pids())


def tab_mb() -> float:
    """Return the memory of the largest renderer, each shared page divided by the number of its users."""
    return max(_pss_mb(pid) for pid in browser_pids() if "--type=renderer" in _arguments(pid))


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").split()


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no line 'Pss:'")
