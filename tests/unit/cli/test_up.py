"""Whether `qd up` runs, and its status: a check must not delay a start."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from quarterdeck.cli import up
from quarterdeck.cli.deck import Addresses, Tell
from quarterdeck.cli.ui import SignInLink
from quarterdeck.model.errors import Conflict


def test_checking_whether_it_runs_does_not_prevent_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Event()

    class Ready:
        def __init__(self, home: Path, *, labels: tuple[str, ...]) -> None:
            pass

        def run(self, begun: object) -> None:
            started.set()

    monkeypatch.setattr(up, "Deck", Ready)
    (tmp_path / "up.lock").touch()
    with (tmp_path / "up.lock").open() as looking:
        up.fcntl.flock(looking, up.fcntl.LOCK_SH)
        threading.Timer(0.05, lambda: up.fcntl.flock(looking, up.fcntl.LOCK_UN)).start()
        up._hold(tmp_path, ())
    assert started.is_set()


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "up.lock").open("w") as other:
        up.fcntl.flock(other, up.fcntl.LOCK_EX)
        with pytest.raises(Conflict):
            up._hold(tmp_path, ())


@pytest.mark.parametrize("https", ["", "127.0.0.1:8443"])
def test_it_says_where_it_listens_and_with_what_the_agent_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], https: str
) -> None:
    found: list[up.Running | None] = []

    class Failing:
        def __init__(self, home: Path, *, labels: tuple[str, ...]) -> None:
            pass

        def run(self, tell: Tell) -> None:
            for code in (None, 2):
                tell(Addresses(http="127.0.0.1:1", link="127.0.0.1:2", link_https=https), code)
                found.append(up.find_running(tmp_path))

    monkeypatch.setattr(up, "Deck", Failing)
    up._hold(tmp_path, ())
    assert [running and (running.link_https, running.agent_code) for running in found] == [(https, None), (https, 2)]
    printed = capsys.readouterr().out
    assert printed.count("Quarterdeck runs.") == 1
    assert ("https link https://127.0.0.1:8443" in printed) is bool(https)
    assert ("https link" in printed) is bool(https)
    assert "/ui/" not in printed, "a log must not contain a link that signs in"


def test_it_shows_a_link_to_the_web_ui_or_says_why_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def link(url: str) -> SignInLink:
        return SignInLink(url=url, expires_at=1.0)

    running = up.Running(http="127.0.0.1:1", link="127.0.0.1:2", pid=1, started_at=0.0)
    up._banner(tmp_path, running)
    assert "There is no link to the web UI: No API token" in capsys.readouterr().out
    (tmp_path / "admin.token").write_text("qda_x")
    monkeypatch.setattr(up, "sign_in_link", lambda client: link(f"{client.endpoint.url}/ui/#code=1"))
    (tmp_path / "http.address").write_text("127.0.0.1:1")
    up._banner(tmp_path, running)
    assert "Web UI http://127.0.0.1:1/ui/#code=1 (signs in once" in capsys.readouterr().out
