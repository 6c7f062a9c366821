"""The processes of `qd up`: started again for ever, with what they were started with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from quarterdeck.cli import deck
from quarterdeck.cli.deck import BACKOFF_LIMIT_S, Child


def test_a_child_that_dies_is_started_again_with_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quarterdeck").mkdir()
    trace = tmp_path / "trace"
    fake = tmp_path / "fake.sh"
    fake.write_text(f"#!/bin/sh\necho $QD_AGENT_TOKEN >> {trace}\nexit 3\n")
    fake.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setattr(deck, "BACKOFF_S", 0.0)
    child = Child("agent", ())
    child.environment["QD_AGENT_TOKEN"] = "qd1_x"
    child.start()
    codes: list[int | None] = []
    while child.restarts < 3:
        codes.append(child.keep())
        os.sched_yield()
    child.stop()
    assert [code for code in codes if code is not None] == [3, 3, 3]
    assert set(trace.read_text().split()) == {"qd1_x"}


def test_the_pause_before_a_restart_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(deck.time, "monotonic", lambda: clock[0])
    child = Child("agent", ())
    child.restarts = 5000

    class Dead:
        returncode = 1

        def poll(self) -> int:
            return 1

    child.process = Dead()  # type: ignore[assignment]
    child.keep()
    assert child.start_at == BACKOFF_LIMIT_S
