"""The web UI in Chromium following 5,000 lines a second: whether all arrive, what it costs, whether it can be used.

A server and an agent run as processes, and the log view of the agent's node is open. A program on the node then prints
5,000 numbered lines a second for 30 s. After 10 s, the wheel is turned in the view, up and down, while lines arrive;
then the view is left alone at older lines for 5 s, and must not move; then it goes back to the newest line.
`unaccounted` is the number of printed lines that the view did not receive. The CPU time is that of all processes of the
browser and of the server, from the first line to the last; the agent, which prints and stores, is not in it.

The limit, in the same run: this process reads the same stream of the API over HTTP, without parsing it.

Targets: 0 unaccounted, 0 moved; ≤ 1 core in browser and server; interaction to paint p95 ≤ 100 ms; ≤ 300 MB.
"""

from __future__ import annotations

import re
import sys
import time

import httpx
from playwright.sync_api import Locator

from bench.browser import browser_cpu_s, interactions, point_at, tab_mb, turn_wheel, window
from bench.machine import NODE, one_machine
from bench.measure import Target, note, percentile, process_cpu_s, report
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.nodes import Selector
from tests.browser import Visit, chromium
from tests.fleet import Fleet

PER_S, SECONDS = 5_000, 30
LINES = PER_S * SECONDS
BEFORE_S, STILL_S = 10, 5
#: notches of the wheel, up and down
WHEEL = (-60, 30, -60, 30)
PROGRAM = """
import sys, time
per_s, lines, step = int(sys.argv[1]), int(sys.argv[2]), 50
began = time.monotonic()
for start in range(0, lines, step):
    numbers = range(start + 1, start + step + 1)
    sys.stdout.writelines(f"order {n} taken from the queue and put into the books\\n" for n in numbers)
    sys.stdout.flush()
    time.sleep(max(0, began + (start + step) / per_s - time.monotonic()))
"""
LIST = "section[aria-label=Messages]"
FULL = f"bench.gap(document.querySelector({LIST!r}), '.line') <= 2"


def main() -> None:
    with one_machine() as fleet, chromium() as browser:
        with window(browser, fleet) as visit:
            visit.open(f"/logs?nodes={NODE}")
            visit.page.get_by_text("live", exact=True).wait_for()
            figures = _measure(fleet, visit)
        limit = _read_alone(fleet)
    report(
        "ui_tail",
        figures=figures,
        peer={"name": "limit: the stream read over HTTP and not parsed", "cores": limit},
        ratio=limit / figures["cores"],
        targets=(
            Target("unaccounted", at_most=0),
            Target("cores", at_most=1),
            Target("moved_px", at_most=0),
            Target("wheel_p95_ms", at_most=100),
            Target("blank_frames", at_most=0),
            Target("tab_mb", at_most=300),
        ),
    )


def _measure(fleet: Fleet, visit: Visit) -> dict[str, float]:
    page = visit.page
    lines = page.locator(LIST)
    point_at(visit, LIST)
    browser_s, server_s = browser_cpu_s(), process_cpu_s(fleet.server.pid)
    began = time.monotonic()
    _print(fleet)
    lines.get_by_text(re.compile(r"order \d+ taken")).first.wait_for()
    page.wait_for_timeout(1000 * BEFORE_S)
    page.evaluate(f"bench.watch({LIST!r}, '.line')")
    wheel = interactions(page, "wheel", FULL, lambda: turn_wheel(visit, *WHEEL))
    seen = page.evaluate("bench.watched()")
    before = _tops(lines)
    page.wait_for_timeout(1000 * STILL_S)
    moved_px = moved(before, _tops(lines))
    newest = interactions(page, "click", FULL, page.get_by_role("button", name="Newest").click)
    lines.get_by_text(f"order {LINES} taken").wait_for()
    seconds = time.monotonic() - began
    browser_s, server_s = browser_cpu_s() - browser_s, process_cpu_s(fleet.server.pid) - server_s
    received = _received(visit)
    tab_mb_, with_garbage_mb = tab_mb(page)
    note(f"{received:,} lines in {seconds:.1f} s; CPU: browser {browser_s:.1f} s, server {server_s:.1f} s")
    return {
        "cores": (browser_s + server_s) / seconds,
        "browser_cores": browser_s / seconds,
        "server_cores": server_s / seconds,
        "unaccounted": LINES - received,
        "wheel_p95_ms": percentile(wheel, 0.95),
        "wheel_worst_ms": max(wheel),
        "newest_ms": max(newest),
        "blank_frames": seen["blank"],
        "moved_px": moved_px,
        "tab_mb": tab_mb_,
        "tab_mb_with_garbage": with_garbage_mb,
    }


def _print(fleet: Fleet) -> None:
    """Start the program."""
    arguments = ["-c", PROGRAM, str(PER_S), str(LINES)]
    command = CreateCommand(
        cmd="execute", args={"cmd": sys.executable, "args": arguments}, selector=Selector(nodes=(NODE,))
    )
    fleet.client.commands.create(command)


def _tops(lines: Locator) -> dict[str, float]:
    """Return where the lines in sight are, by their text."""
    found: dict[str, float] = lines.evaluate(
        """(list) => {
          const { top, bottom } = list.getBoundingClientRect();
          const place = (line) => [line.textContent, line.getBoundingClientRect().top];
          const at = [...list.querySelectorAll('.line')].map(place);
          return Object.fromEntries(at.filter(([, y]) => top <= y && y < bottom - 20));
        }"""
    )
    return found


def moved(before: dict[str, float], after: dict[str, float]) -> float:
    """Return by how many pixels lines moved; a line that is gone moved infinitely far."""
    return max(abs(after.get(text, float("inf")) - top) for text, top in before.items())


def _received(visit: Visit) -> int:
    """Return how many messages the view says that it received."""
    text = visit.page.get_by_text(re.compile(r"^[\d,]+ messages")).inner_text()
    return int(text.split()[0].replace(",", ""))


def _read_alone(fleet: Fleet) -> float:
    """Return the cores that the server and this process use while this process reads the stream."""
    headers = {"Authorization": f"Bearer {fleet.client.endpoint.token}"}
    with httpx.stream(
        "GET", f"http://{fleet.http}/api/v1/messages/events?node={NODE}", headers=headers, timeout=60
    ) as stream:
        began, cpu_s = time.monotonic(), process_cpu_s(fleet.server.pid) + time.process_time()
        _print(fleet)
        last = f"order {LINES} taken".encode()
        kept = b""
        for part in stream.iter_raw():
            kept = kept[-len(last) :] + part
            if last in kept:
                break
        seconds = time.monotonic() - began
        return (process_cpu_s(fleet.server.pid) + time.process_time() - cpu_s) / seconds
