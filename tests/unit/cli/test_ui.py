"""`qd ui`: the link it prints, and that no program's arguments contain it."""

from __future__ import annotations

import io
import json
import stat
import sys
import webbrowser
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from quarterdeck.cli import ui
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.model.logins import SignInCode

PATH = "/ui/#code=a-b_c"


class Terminal(io.StringIO):
    """Shows standard output. Made in the test itself: pytest sets its own one before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        monkeypatch.setattr(sys, "stdout", self)

    def isatty(self) -> bool:
        return True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The addresses that are opened in a browser; there is a desktop, and a server."""
    addresses: list[str] = []

    @contextmanager
    def connect() -> Generator[SimpleNamespace]:
        code = SignInCode(code="a-b_c", path=PATH, expires_at=1.0)
        logins = SimpleNamespace(create_code=lambda: code)
        yield SimpleNamespace(logins=logins, endpoint=SimpleNamespace(url="http://0.0.0.0:8420"))

    monkeypatch.setattr(ui, "connect", connect)
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DISPLAY", ":0")
    return addresses


def test_it_prints_the_link_and_opens_it_by_a_private_file(
    opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(monkeypatch)
    ui.ui()
    assert terminal.getvalue() == f"http://127.0.0.1:8420{PATH}\n"
    page = tmp_path / "cache" / "quarterdeck" / "sign-in.html"
    assert opened == [page.as_uri()]
    assert f'content="0; url=http://127.0.0.1:8420{PATH}"' in page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


@pytest.mark.parametrize("why", ["asked", "no desktop", "json"])
def test_it_opens_nothing_where_it_should_not(why: str, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "no desktop":
        monkeypatch.delenv("DISPLAY")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    terminal = Terminal(monkeypatch)
    ui.ui(no_open=why == "asked", how=OutputOptions(json=why == "json"))
    printed = terminal.getvalue()
    assert (json.loads(printed)["url"] if why == "json" else printed.strip()) == f"http://127.0.0.1:8420{PATH}"
    assert opened == []


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://0.0.0.0:1", "http://127.0.0.1:1"),
        ("http://[::]:1", "http://[::1]:1"),
        ("https://deck.example.org/", "https://deck.example.org"),
        ("http://10.0.0.1:1", "http://10.0.0.1:1"),
    ],
)
def test_the_address_is_one_that_a_browser_reaches(url: str, base: str) -> None:
    assert ui.base_url(url) == base
