"""Chromium for experiments: windows that are signed in, input, the cost of its processes, and what `page.js` measures.

Owns how the processes of the browser are found. How it is started is the tests' `chromium`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import Browser, BrowserContext, Page

from bench.measure import process_cpu_s
from tests.browser import Visit
from tests.fleet import Fleet

#: a notch of a wheel, and how soon the next one follows when it is turned fast
NOTCH_PX, NOTCH_S = 120, 0.02
#: until memory without content is given back
RELEASE_S = 0.5

_SCRIPT = Path(__file__).parent / "page.js"


def measured(context: BrowserContext) -> None:
    """Add `page.js` to every page that is opened in this window from now on."""
    context.add_init_script(path=_SCRIPT)


@contextmanager
def window(browser: Browser, fleet: Fleet) -> Iterator[Visit]:
    """Open a new window at the overview, signed in by a link."""
    visit = Visit(browser, fleet.http)
    measured(visit.context)
    visit.page.goto(f"http://{fleet.http}{fleet.client.logins.create_code().path}")
    visit.heading("Overview")
    yield visit
    visit.close()


def point_at(visit: Visit, selector: str) -> None:
    """Move the mouse to the middle of an element."""
    place = visit.page.locator(selector).bounding_box()
    if place is None:
        raise RuntimeError(f"{selector} is not drawn")
    visit.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)


def turn_wheel(visit: Visit, *notches: int) -> None:
    """Turn the wheel by so many notches, one after the other: down, or up where negative."""
    for number in notches:
        for _ in range(abs(number)):
            visit.page.mouse.wheel(0, NOTCH_PX if number > 0 else -NOTCH_PX)
            time.sleep(NOTCH_S)


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


def tab_mb(page: Page) -> tuple[float, float]:
    """Return the memory of the page's process after its garbage was collected, and before.

    Each shared page of memory is divided by the number of its users. The process is the largest renderer.
    """
    before = _largest_renderer_mb()
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    page.wait_for_timeout(1000 * RELEASE_S)
    return _largest_renderer_mb(), before


def _largest_renderer_mb() -> float:
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
