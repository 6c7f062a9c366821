"""The web UI in Chromium with much to show: how long it takes to answer, whether it draws all rows, its memory.

A server and an agent run as processes. The server's state has 2,000 nodes, which are rows and are not connected; a
program on the agent's node has printed 100,000 lines; the table `cpu_profile` has stacks of 50,000 different frames,
sent by a simulated agent; a query has 50,000 rows. Each of these is opened in a window of its own and used with wheel,
keys and mouse. The time of an interaction is the page's own: from the input event to the frame after the first one that
shows its effect. In each frame of a scroll, the part of the list's window without rows is looked at, both at the end of
the frame and at the position to which the browser has scrolled what was drawn before. `…_mb` is the memory of the
renderer process at the end, after a garbage collection (PSS: shared pages are divided by the number of their users).

The limit, in the same run: the same wheel over 2,000 lines of plain text.

Targets: interaction to paint p95 ≤ 100 ms, no blank frame, ≤ 300 MB for each.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from functools import partial
from typing import Any

from playwright.sync_api import Browser, Locator, expect

from bench.browser import interactions, point_at, tab_mb, turn_wheel, window
from bench.machine import NODE, one_machine
from bench.measure import Target, note, percentile, report
from bench.nodes import add_nodes
from bench.stacks import add_stacks
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.nodes import Selector
from quarterdeck.store.state.database import Database
from tests.browser import Visit, chromium
from tests.fleet import Fleet

NODES, LINES, ROWS, FRAMES = 2_000, 100_000, 50_000, 50_000
#: notches of the wheel, down and up
WHEEL = (40, -20, 40, -20)
PRINT = """
import sys
sys.stdout.writelines(f"order {n} taken from the queue, total {n % 977} EUR\\n" for n in range(int(sys.argv[1])))
"""
QUERY = f"""SELECT now64(3) - number AS at, number AS id, concat('order ', toString(number)) AS what,
number % 977 AS total, ['new', 'paid', 'sent'][number % 3 + 1] AS state, rand() AS code FROM numbers({ROWS})"""
PLAIN = """<div id=plain style="height: 800px; overflow: auto"></div>
<script>plain.innerHTML = '<div>a line</div>'.repeat(2000)</script>"""

Figures = dict[str, Any]


def main() -> None:
    with one_machine() as fleet:
        _fill(fleet)
        with chromium() as browser:
            figures, limit = _measure(browser, fleet)
    slowest = max(value for key, value in figures.items() if key.endswith("_p95_ms"))
    report(
        "ui_lists",
        figures={"slowest_p95_ms": slowest, **figures},
        peer={"name": "limit: 2,000 lines of plain text", "wheel_p95_ms": limit},
        ratio=limit / slowest,
        targets=tuple(
            Target(key, at_most=100 if key.endswith("_p95_ms") else 300 if key.endswith("_mb") else 0)
            for key in figures
            if key.endswith(("_p95_ms", "_mb", "_blank_frames"))
        ),
    )


def _measure(browser: Browser, fleet: Fleet) -> tuple[Figures, float]:
    figures: Figures = {}
    for name, part in {"nodes": _nodes, "lines": _lines, "rows": _rows, "flames": _flames}.items():
        with window(browser, fleet) as visit:
            found = part(visit)
            found["mb"], found["mb_with_garbage"] = tab_mb(visit.page)
        note(f"{name}: " + ", ".join(f"{key} {value:.0f}" for key, value in found.items()))
        figures |= {f"{name}_{key}": value for key, value in found.items()}
    with window(browser, fleet) as visit:
        return figures, _plain(visit)


def _fill(fleet: Fleet) -> None:
    """Add the nodes, lines and stacks."""
    program = {"cmd": sys.executable, "args": ["-c", PRINT, str(LINES)]}
    fleet.client.commands.create(
        CreateCommand(cmd="execute", args=program, selector=Selector(nodes=(NODE,))), wait_s=60
    )
    fleet.client.modules.deploy("cpu_profile")
    fleet.wait_running("cpu_profile", NODE)
    table = next(info.table for info in fleet.client.tables.list() if info.table.name == "cpu_profile")
    add_stacks(fleet, table, FRAMES)
    asyncio.run(_add_nodes(fleet))
    note(f"{NODES:,} nodes, {LINES:,} lines and stacks of {FRAMES:,} frames")


async def _add_nodes(fleet: Fleet) -> None:
    database = await Database.open(f"sqlite:///{fleet.server.home / 'state.db'}")
    try:
        await add_nodes(database, NODES)
    finally:
        await database.close()


def _nodes(visit: Visit) -> Figures:
    visit.open("/nodes")
    expect(visit.page.locator(".ant-table-row").first).to_be_visible()
    field = visit.page.get_by_label("Text to find")
    field.click()
    typed: list[float] = []
    for word in ("web-1234", "site-3", "web-17"):
        for length in range(1, len(word) + 1):
            typed += interactions(
                visit.page, "keydown", _filtered(word[:length]), partial(visit.page.keyboard.press, word[length - 1])
            )
        typed += interactions(visit.page, "keydown", _filtered(""), partial(_clear, field))[1:]
    found = _scrolled(visit, ".ant-table-body", ".ant-table-row")
    return {"filter_p95_ms": percentile(typed, 0.95), **found}


def _filtered(text: str) -> str:
    """Return an expression that is true when the list shows the nodes with this text."""
    return (
        f"document.activeElement.value === {text!r}"
        " && document.querySelector('.ant-table-row')"
        f" && [...document.querySelectorAll('.ant-table-row')].every((row) => row.textContent.includes({text!r}))"
    )


def _clear(field: Locator) -> None:
    field.press("Control+A")
    field.press("Backspace")


def _lines(visit: Visit) -> Figures:
    visit.open(f"/logs?nodes={NODE}&range=1d")
    count = visit.page.get_by_text(re.compile(r"^[\d,]+ messages$"))
    count.wait_for()
    older = visit.page.get_by_role("button", name="Load older")
    began = time.monotonic()
    for loaded in range(2_000, LINES + 1, 1_000):
        older.click()
        visit.page.get_by_text(f"{loaded:,} messages", exact=True).wait_for()
    note(f"{LINES:,} lines loaded in {time.monotonic() - began:.0f} s")
    return _scrolled(visit, "section[aria-label=Messages]", ".line")


def _rows(visit: Visit) -> Figures:
    visit.page.goto(f"http://{visit.http}/ui/query")
    visit.page.evaluate("sql => location.assign('/ui/query?sql=' + encodeURIComponent(sql))", QUERY)
    visit.see(f"{ROWS:,} rows")
    expect(visit.page.locator(".ant-table-row").first).to_be_visible()
    found = _scrolled(visit, ".ant-table-body", ".ant-table-row")
    sorted_ms: list[float] = []
    for column in ("id", "total", "what", "state"):
        header = visit.page.locator("th", has_text=re.compile(f"^{column}$"))
        for order in ("ascending", "descending"):
            is_sorted = (
                f"[...document.querySelectorAll('th')].find(th => th.textContent === {column!r}).ariaSort === {order!r}"
            )
            sorted_ms += interactions(visit.page, "click", is_sorted, header.click)
    return {"sort_p95_ms": percentile(sorted_ms, 0.95), **found}


def _flames(visit: Visit) -> Figures:
    visit.open("/tables/cpu_profile?range=15m&node=simulated-1")
    graph = visit.page.get_by_label("Flame graph of user_stack")
    graph.scroll_into_view_if_needed()
    box = graph.bounding_box()
    assert box is not None

    def at(part: float, depth: int) -> tuple[float, float]:
        return box["x"] + part * box["width"], box["y"] + 18 * depth + 9

    zoomed: list[float] = []
    hovered: list[float] = []
    for number in range(15):
        for depth in (2, 3, 4):
            zoomed += interactions(
                visit.page, "click", "true", partial(visit.page.mouse.click, *at(0.05 + number / 20, depth))
            )
        for step in range(10):
            hovered += interactions(
                visit.page, "mousemove", "true", partial(visit.page.mouse.move, *at(0.1 + step / 13, 3 + step % 5))
            )
        zoomed += interactions(
            visit.page, "click", "true", visit.page.get_by_role("button", name="Show all").first.click
        )
    field = visit.page.get_by_label("Mark functions").first
    field.click()
    typed: list[float] = []
    for key in "function_12":
        typed += interactions(visit.page, "keydown", "true", partial(visit.page.keyboard.press, key))
    return {
        "zoom_p95_ms": percentile(zoomed, 0.95),
        "hover_p95_ms": percentile(hovered, 0.95),
        "mark_p95_ms": percentile(typed, 0.95),
    }


def _scrolled(visit: Visit, list_: str, row: str) -> Figures:
    """Turn the wheel over a list, up and down; return its figures."""
    point_at(visit, list_)
    visit.page.evaluate(f"bench.watch({list_!r}, {row!r})")
    full = f"bench.gap(document.querySelector({list_!r}), {row!r}) <= 2"
    times = interactions(visit.page, "wheel", full, lambda: turn_wheel(visit, *WHEEL))
    seen = visit.page.evaluate("bench.watched()")
    return {
        "wheel_p95_ms": percentile(times, 0.95),
        "wheel_worst_ms": max(times),
        "blank_frames": seen["blank"],
        "frames": seen["frames"],
        "gap_px": seen["worst"],
    }


def _plain(visit: Visit) -> float:
    visit.page.goto("about:blank")
    visit.page.set_content(PLAIN)
    visit.page.mouse.move(300, 300)
    return percentile(interactions(visit.page, "wheel", "true", lambda: turn_wheel(visit, *WHEEL)), 0.95)
