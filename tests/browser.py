"""Debian's Chromium against the web UI of a real server, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.support import require
from tools import ui

_AXE = ui.UI / "node_modules" / "axe-core" / "axe.min.js"
#: how long the browser may take for anything, in milliseconds
_PATIENCE_MS = 30_000
#: whether no transition runs, and no animation but those that never end
_STILL = """() => document.getAnimations().every(
    (each) => each.playState !== "running" || each.effect.getComputedTiming().endTime === Infinity)"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, with the web UI built from the present sources."""
    program = shutil.which("chromium")
    require(program, "the web UI is tested in Chromium: apt-get install chromium")
    ui.build()
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One person at a browser: signed in with a token, unless there is none."""

    def __init__(self, browser: Browser, http: str, token: str = "", **options: Any) -> None:
        self.http = http
        self.faults: list[str] = []  #: what the pages wrote to the console as errors
        self.context: BrowserContext = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        self.context.set_default_timeout(_PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text) if "Content Security" in said.text else None)
        if token:
            self.open("/")
            self.page.get_by_label("API token").fill(token)
            self.page.get_by_role("button", name="Sign in").click()
            self.heading("Overview")

    def open(self, view: str) -> None:
        """Open the address of a view."""
        self.page.goto(f"http://{self.http}/ui{view}")

    def heading(self, title: str) -> None:
        """Wait until the page of this title is shown."""
        self.page.get_by_role("heading", name=title, exact=True).wait_for()

    def see(self, text: str) -> None:
        """Wait until the page shows the text."""
        self.page.get_by_text(text).first.wait_for()

    def reload(self) -> None:
        """Load the page again: all that it shows then comes from its address."""
        self.page.reload()

    def theme(self, scheme: Literal["light", "dark"]) -> None:
        """Show the page in this theme, as somebody who prefers it sees it."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.locator(f"html[data-theme={scheme}]").wait_for()

    def violations(self, *, without: str = "") -> list[str]:
        """The serious findings of axe-core on the present page when nothing moves; none in `without`."""
        require(_AXE.exists(), "axe-core is missing: `tools/setup.sh test` installs it")
        self.page.wait_for_function(_STILL)  # a colour in between two has neither's contrast
        self.page.evaluate(_AXE.read_text())  # not as a script element: the policy of the page forbids that
        found: dict[str, Any] = self.page.evaluate(
            "without => axe.run(without ? {exclude: [without]} : document, {resultTypes: ['violations']})", without
        )
        return [
            f"{each['id']}: {each['nodes'][0]['html'][:200]} {each['nodes'][0]['failureSummary'][:300]}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]

    def picture(self, path: Path) -> None:
        """Save a screenshot."""
        self.page.screenshot(path=str(path))

    def close(self) -> None:
        """Close the browser's window."""
        self.context.close()
