"""`qd login`: which browsers are signed in, and signing them out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from quarterdeck.cli import login
from quarterdeck.cli.formats import Format, ListOptions
from quarterdeck.model.logins import Login
from quarterdeck.model.tokens import Role

LOGIN = Login(
    id="b10c",
    token_id="t",
    name="ann",
    role=Role.VIEWER,
    create_time=1.0,
    expires_at=2.0,
    seen_at=1.5,
    address="192.0.2.7",
    agent="Browser 1",
)


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The logins that the server ends; it has one."""
    ended: list[str] = []

    @contextmanager
    def connect() -> Generator[SimpleNamespace]:
        yield SimpleNamespace(logins=SimpleNamespace(list=lambda: [LOGIN], remove=ended.append))

    monkeypatch.setattr(login, "connect", connect)
    return ended


@pytest.mark.usefixtures("removed")
def test_a_login_is_listed_with_its_token_and_browser(capsys: pytest.CaptureFixture[str]) -> None:
    login.ls(how=ListOptions(output=Format.WIDE))
    printed = capsys.readouterr().out
    for part in ("b10c", "ann", "viewer", "192.0.2.7", "Browser 1"):
        assert part in printed
    login.ls(how=ListOptions(output=Format.NAME))
    assert capsys.readouterr().out == "b10c\n"


def test_several_are_signed_out(removed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    login.rm("b10c", "cafe")
    assert removed == ["b10c", "cafe"]
    assert "b10c is signed out." in capsys.readouterr().out
