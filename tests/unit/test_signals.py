"""Whatever shell starts the tests: what tests start begins with all signals as usual."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: as `nohup make test &` of a shell without job control, and worse
BEHIND = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
"""
INSIDE = """
import signal, subprocess

def test_what_is_started():
    status = subprocess.check_output(["grep", "^Sig[BI]", "/proc/self/status"], text=True)
    usual = sum(1 << (number - 1) for number in signal.valid_signals())  # the C library keeps others for itself
    assert [int(field, 16) & usual for field in status.split()[1::2]] == [0, 0]
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_programs_of_tests_begin_with_all_signals_as_usual(tmp_path: Path, workers: str) -> None:
    (tmp_path / "conftest.py").write_text((Path(__file__).parents[1] / "conftest.py").read_text())
    (tmp_path / "test_inside.py").write_text(INSIDE)
    pytest_ = [sys.executable, "-c", BEHIND, "-q", "-n", workers, "-p", "no:cacheprovider", str(tmp_path)]
    found = subprocess.run(pytest_, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 0, found.stdout
