"""The modules that the guide writes, as they stand there: built, loaded into this kernel, and their rows awaited."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.testing.module_run import ModuleRun

pytestmark = pytest.mark.usefixtures("may_load")

PAGE = Path(__file__).parents[3] / "docs" / "guide" / "modules.md"
Files = dict[str, str]


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


@pytest.fixture
def files(page: str) -> Files:
    """The files that the page writes into `signals`, by name."""
    return dict(re.findall(r"^`signals/(\S+)`:\n\n```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL))


@pytest.fixture
def plain(files: Files) -> Files:
    """The module before it gets its transform."""
    return {name: files[name] for name in ("signals.bpf.c", "module.toml")}


@pytest.fixture
def transformed(files: Files, page: str) -> Files:
    """The module after what the page says of the transform was done."""
    line = re.search(r"Add one line to the table in the manifest: `(.*)`", page)
    assert line is not None
    struct = re.compile(r"^struct event \{.*?^\};$", re.MULTILINE | re.DOTALL)
    program = struct.sub('#include "event.h"', files["signals.bpf.c"], count=1)
    manifest = files["module.toml"].replace('row = "event"', f'row = "event"\n{line[1]}')
    return {**files, "signals.bpf.c": program, "module.toml": manifest}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def run_of(files: Files, **settings: int) -> ModuleRun:
    return ModuleRun({name: text.encode() for name, text in files.items()}, settings=settings)


def test_the_first_module_has_a_row_for_a_signal(plain: Files, sleeper: subprocess.Popen[bytes]) -> None:
    with run_of(plain) as run:
        assert not run.build.warnings
        sleeper.send_signal(signal.SIGTERM)
        row = run.wait_for("signals", lambda row: row["target_pid"] == sleeper.pid)
    assert list(row) == ["time", "sender_pid", "target_pid", "signal", "sender", "target"]
    assert (row["sender_pid"], row["signal"], row["target"]) == (os.getpid(), signal.SIGTERM, "sleep")
    assert row["sender"]


def test_its_setting_leaves_other_signals_out(plain: Files, sleeper: subprocess.Popen[bytes]) -> None:
    with run_of(plain, only_signal=signal.SIGUSR2) as run:
        sleeper.send_signal(signal.SIGSTOP)
        sleeper.send_signal(signal.SIGUSR2)
        run.wait_for("signals", lambda row: row["target_pid"] == sleeper.pid)
    assert {row["signal"] for row in run.rows("signals")} == {signal.SIGUSR2}


def test_with_its_transform_rows_say_what_kills(transformed: Files, sleeper: subprocess.Popen[bytes]) -> None:
    with run_of(transformed) as run:
        sleeper.send_signal(signal.SIGCHLD)
        sleeper.send_signal(signal.SIGCONT)
        sleeper.send_signal(signal.SIGTERM)
        row = run.wait_for("signals", lambda row: row["target_pid"] == sleeper.pid and row["fatal"])
    assert (row["signal"], row["target"]) == (signal.SIGTERM, "sleep")
    of_it = [row["signal"] for row in run.rows("signals", lambda row: row["target_pid"] == sleeper.pid)]
    assert of_it == [signal.SIGCONT, signal.SIGTERM]
