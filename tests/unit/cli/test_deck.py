"""The processes of `qd up`: restarted without limit, with their first arguments."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from quarterdeck.cli.deck import BACKOFF, Child
from quarterdeck.kit.backoff import Backoff


def test_a_child_that_dies_is_started_again_with_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quarterdeck").mkdir()
    trace = tmp_path / "trace"
    fake = tmp_path / "fake.sh"
    fake.write_text(f"#!/bin/sh\necho $QD_AGENT_TOKEN >> {trace}\nexit 3\n")
    fake.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(fake))
    child = Child("agent", (), backoff=Backoff(0.0, 30.0, spread=0.0))
    child.environment["QD_AGENT_TOKEN"] = "qd1_x"
    child.start()
    codes: list[int | None] = []
    while child.restarts < 3:
        codes.append(child.keep())
        os.sched_yield()
    child.stop()
    assert [code for code in codes if code is not None] == [3, 3, 3]
    assert set(trace.read_text().split()) == {"qd1_x"}


def test_the_pause_before_a_restart_has_a_limit() -> None:
    child = Child("agent", ())
    child.restarts = 5000
    child.started_at = began = time.monotonic()

    class Dead:
        returncode = 1

        def poll(self) -> int:
            return 1

    child.process = Dead()  # type: ignore[assignment]
    child.keep()
    assert began + BACKOFF.cap_s <= child.start_at <= time.monotonic() + BACKOFF.cap_s
