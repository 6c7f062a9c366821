"""The web UI in Chromium: from opening a sign-in link until the overview can be used.

A server and an agent run as processes. Each round opens a fresh sign-in link three times: in a new window, whose cache
is empty (cold), then in the same window again, and once more (warm: the browser keeps compiled code of scripts that it
has seen twice). The time is the page's own: from the start of the navigation to the frame after the one in which the
overview shows what needs attention and its numbers, with no placeholder left in either. The window's process runs
before. `js_kb` is the JavaScript that came over the network until then, compressed and with headers.

The limit, in the same run: an empty page of the same server, in a new window.

Targets: cold ≤ 1.5 s, warm ≤ 0.5 s; at most 400 kB of JavaScript.
"""

from __future__ import annotations

import statistics
import time

from playwright.sync_api import Browser, BrowserContext

from bench.browser import measured
from bench.machine import one_machine
from bench.measure import Target, note, report
from tests.browser import chromium
from tests.fleet import Fleet

ROUNDS = 5
_USABLE = """async () => {
  const parts = () => [...document.querySelectorAll('#content .ant-card')];
  const drawn = (part) => !part.querySelector('.ant-skeleton');
  const attention = () => parts().find((part) => part.textContent.startsWith('What needs attention'));
  const numbers = () => document.querySelectorAll('#content .ant-statistic-content-value').length;
  const all = () => [...document.querySelectorAll('#content .ant-row')][0]?.querySelectorAll('.ant-card') ?? [];
  return bench.painted(() => attention() && drawn(attention()) && numbers() >= 4 && [...all()].every(drawn));
}"""
_SCRIPTS_BYTES = """performance.getEntriesByType('resource')
  .filter((each) => new URL(each.name).pathname.endsWith('.js'))
  .reduce((sum, each) => sum + each.transferSize, 0)"""


def main() -> None:
    with one_machine() as fleet, chromium() as browser:
        rounds = [_round(browser, fleet) for _ in range(ROUNDS + 1)][1:]
        empty_ms = statistics.median(_empty(browser, fleet) for _ in range(ROUNDS))
    cold, warm, sizes = zip(*rounds, strict=True)
    cold_s = statistics.median(cold)
    report(
        "ui_load",
        figures={
            "cold_s": cold_s,
            "cold_worst_s": max(cold),
            "warm_s": statistics.median(warm),
            "warm_worst_s": max(warm),
            "js_kb": max(sizes),
        },
        peer={"name": "limit: a page of one file of the same server", "cold_s": empty_ms / 1000},
        ratio=empty_ms / 1000 / cold_s,
        targets=(Target("cold_s", at_most=1.5), Target("warm_s", at_most=0.5), Target("js_kb", at_most=400)),
    )


def _round(browser: Browser, fleet: Fleet) -> tuple[float, float, float]:
    """Return the seconds of a cold and of a warm start, and the kB of JavaScript of the first."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    measured(context)
    cold_s, js_kb = _open(context, fleet)
    _open(context, fleet)
    warm_s, _ = _open(context, fleet)
    context.close()
    note(f"cold {cold_s:.2f} s, warm {warm_s:.2f} s, {js_kb:.0f} kB of JavaScript")
    return cold_s, warm_s, js_kb


def _open(context: BrowserContext, fleet: Fleet) -> tuple[float, float]:
    link = f"http://{fleet.http}{fleet.client.logins.create_code().path}"
    page = context.new_page()
    page.goto(f"http://{fleet.http}/healthz")  # the process of the window runs
    page.goto(link, wait_until="commit")
    seconds = page.evaluate(_USABLE) / 1000
    js_kb = page.evaluate(_SCRIPTS_BYTES) / 1000
    time.sleep(0.5)  # the browser keeps compiled code of what it has run
    page.close()
    return seconds, js_kb


def _empty(browser: Browser, fleet: Fleet) -> float:
    context = browser.new_context()
    measured(context)
    page = context.new_page()
    page.goto(f"http://{fleet.http}/ui/icon.svg", wait_until="commit")
    milliseconds: float = page.evaluate("bench.painted(() => true)")
    context.close()
    return milliseconds
