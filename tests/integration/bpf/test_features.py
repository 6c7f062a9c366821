"""What the survey says of this machine agrees with what the machine does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from quarterdeck.bpf.features import survey
from quarterdeck.bpf.object import BpfObject
from tests.support import require

_AS_NOBODY = """
import json, os
from quarterdeck.bpf.features import survey
survey()  # imports what it needs while it still may
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(json.dumps({each.name: each.ok for each in survey()}))
"""


_TWICE = """
import json, os
from quarterdeck.bpf.features import survey
def surveyed():
    survey()
    return sorted(os.listdir("/proc/self/fd"))
print(json.dumps([surveyed(), surveyed()]))
"""

_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}


def test_survey_agrees_with_what_loads(opened: Callable[[str], BpfObject]) -> None:
    found = {each.name: each for each in survey()}
    assert all(each.detail and each.costs for each in found.values())
    hooks = opened("hooks")
    dropped = {each.name for each in hooks.load_tolerant()}
    for feature in ("raw_tp", "tp_btf", "fentry", "lsm", "perf_event", "tc", "xdp", "netfilter"):
        assert found[feature].ok == (f"on_{feature}" not in dropped), found[feature]
    assert found["kernel"].ok
    assert found["kernel BTF"].ok
    assert found["ring buffer"].ok


def test_survey_leaves_nothing_open() -> None:
    """In a process of its own: a test run before this one may leave descriptors that are collected meanwhile."""
    finished = subprocess.run(
        [sys.executable, "-c", _TWICE], env=_ENVIRONMENT, capture_output=True, text=True, check=True
    )
    first, second = json.loads(finished.stdout)
    assert first == second


def test_an_ordinary_user_gets_an_honest_answer() -> None:
    require(os.geteuid() == 0, "becoming another user needs root")
    finished = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY], env=_ENVIRONMENT, capture_output=True, text=True, check=True
    )
    found = json.loads(finished.stdout)
    assert found["kernel"]
    assert not found["CAP_BPF"]
    assert not found["raw_tp"]
    assert not found["ring buffer"]
