"""`qd up` in the background: it prints its address, and the reason if the agent cannot start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import free_port, make_home


def qd(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `qd` with this data folder and no other settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("QD_")}
    line = [sys.executable, "-m", "quarterdeck.cli.main", *arguments]
    environment = {**inherited, "QD_HOME": str(home)}
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a data folder; processes started with it are ended afterwards."""
    make_home(tmp_path)
    yield tmp_path
    down = qd(tmp_path, "down")
    assert down.returncode == 0, down.stderr


def test_an_agent_that_cannot_start_is_noticed_with_its_own_words(home: Path) -> None:
    (home / "agent").mkdir()
    identity = home / "agent" / "identity.pem"
    identity.write_text("not a key")
    (home / "up.log").write_text("of an earlier start\n")
    up = qd(home, "up", "--detach", "--wait", "--http=127.0.0.1:0", "--link=127.0.0.1:0")
    assert up.returncode == 69, up.stdout + up.stderr
    assert "The agent ended (exit code 2)" in up.stderr
    assert f"{identity} should hold this node's key, certificate and CA, but is damaged" in up.stderr
    assert f"See {home / 'up.log'}." in up.stderr
    assert "of an earlier start" not in up.stderr
    assert qd(home, "status").returncode == 0, "the server runs, and the agent is tried again"


def test_it_listens_for_https_where_it_is_told_to(home: Path) -> None:
    https = f"127.0.0.1:{free_port()}"
    up = qd(home, "up", "--detach", "--wait", "--http=127.0.0.1:0", "--link=127.0.0.1:0", f"--link-https={https}")
    assert up.returncode == 0, up.stdout + up.stderr
    assert f"https link https://{https}" in up.stdout
    assert f"https://{https}" in qd(home, "status").stdout
