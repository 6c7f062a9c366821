"""The agent's footprint is a feature: importing it must not bring the server's libraries along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = {
    "pyarrow",
    "litestar",
    "sqlalchemy",
    "chdb",
    "granian",
    "alembic",
    "clickhouse_connect",
    "pandas",
    "lupa",
    "redis",
}


def test_the_agent_imports_none_of_the_servers_libraries() -> None:
    code = "import sys, quarterdeck.agent.agent; print(' '.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "quarterdeck" in imported
    assert imported & HEAVY == set()
    assert "quarterdeck.server" not in done.stdout


AT_WORK = """
import os
import sys
from pathlib import Path
import numpy as np
from quarterdeck.agent.agent import Agent
from quarterdeck.agent.modules.instances import Instances
from quarterdeck.agent.modules.stacks import Stacks
from quarterdeck.bpf.features import refusal, survey
from quarterdeck.bpf.symbols import Symbolizer
from quarterdeck.wasm.engine import Engine

addresses = np.array([[3, 2], [3, 1]], np.uint64)
Stacks(Symbolizer(), {}).of_addresses(addresses, np.full(2, os.getpid()))
Engine(cache=Path(sys.argv[1])).compile(b"\\0asm\\1\\0\\0\\0")
refusal(survey())
print(' '.join(sys.modules))
"""


def test_an_agent_at_work_does_without_what_it_hardly_uses(tmp_path: Path) -> None:
    """numpy.ma comes with `np.unique` where no inverse is asked for: 1.1 MB; importlib.metadata takes 1.6 MB."""
    done = subprocess.run([sys.executable, "-c", AT_WORK, tmp_path], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "quarterdeck.agent.modules.stacks" in imported
    assert imported & {"numpy.ma", "importlib.metadata"} == set()
    assert [path.name.count("wasmtime-") for path in tmp_path.iterdir()] == [1]
