"""Whether `qd up` runs: who looks must not be in the way of who starts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from quarterdeck.cli import up
from quarterdeck.model.errors import Conflict


def test_looking_whether_it_runs_does_not_keep_it_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_second_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "LOCK_S", 0.05)
    with (tmp_path / "up.lock").open("w") as other:
        up.fcntl.flock(other, up.fcntl.LOCK_EX)
        with pytest.raises(Conflict):
            up._hold(tmp_path, ())
