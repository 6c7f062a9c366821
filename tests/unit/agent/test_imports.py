"""The agent's footprint is a feature: importing it must not bring the server's libraries along."""

from __future__ import annotations

import subprocess
import sys

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
