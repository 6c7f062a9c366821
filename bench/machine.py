"""A server and an agent on this machine, as real processes in a temporary data folder, and their cost.

Owns nothing of how they are started: that is the story tests' `Fleet`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.measure import note
from tests.fleet import Fleet

NODE = "bench"


@contextmanager
def one_machine() -> Iterator[Fleet]:
    """Run a server with one agent, named NODE, online; remove both and their data afterwards."""
    with TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder)) as fleet:
        agent = fleet.join(NODE)
        note(f"server {fleet.server.pid}, agent {agent.pid}, data in {folder}")
        yield fleet


def number(fleet: Fleet, sql: str) -> Any:
    """Return the only value of an answer."""
    return fleet.rows(sql)[0][0]
