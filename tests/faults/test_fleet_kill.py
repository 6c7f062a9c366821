"""kill -9 in a running fleet: acknowledged data is kept, nothing is stored twice, every event is stored or counted.

Only an agent's memory dies with it: rows that no server had acknowledged and no disk held yet. While the link is up
that is what the last moment brought; without a link, what the last seconds brought, since the outbox then spills.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.model.nodes import AgentState
from tests.counted import Outcome, Storm, call, counted, deploy, outcome, settled
from tests.fleet import Fleet, eventually
from tests.support import require

ROUNDS = int(os.environ.get("QD_KILL_ROUNDS", "4"))
NAME = "calls"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A server and a node on which the module runs."""
    require(os.geteuid() == 0, "loading eBPF programs needs root")
    with Fleet(tmp_path) as running:
        running.join("one")
        deploy(running.client, counted(NAME), NAME)
        running.wait_running(NAME, "one")
        yield running


def _arriving(fleet: Fleet) -> None:
    """Wait until rows come in, so that the next kill meets a server at work."""
    before = outcome(fleet.client, NAME).rows
    eventually(lambda: outcome(fleet.client, NAME).rows > before, "rows to come in")


@pytest.mark.timeout(60 + 60 * ROUNDS)
def test_a_server_killed_at_any_moment_loses_nothing_and_stores_nothing_twice(fleet: Fleet) -> None:
    choice = random.Random()
    with Storm() as storm:
        for _ in range(ROUNDS):
            _arriving(fleet)
            time.sleep(choice.uniform(0.0, 0.6))
            fleet.server.kill()
            fleet.server.start()
            time.sleep(choice.uniform(0.0, 3.0))  # it takes two seconds to start
            fleet.server.kill()
            fleet.start_server()
        _arriving(fleet)
        made = storm.end()
    found = settled(fleet.client, NAME, made)
    assert found.distinct == found.rows == made, "the outbox had room for all of them"


def _restart(fleet: Fleet) -> None:
    """Start the killed agent again and wait until the module runs."""
    killed = time.time()
    fleet.agents["one"].start()
    fleet.wait_for("one", AgentState.ONLINE)
    eventually(lambda: fleet.instances(NAME)["one"].status.since > killed, "the module's new start")
    fleet.wait_running(NAME, "one")


def _spilled_rows(fleet: Fleet) -> int:
    """Return the number of rows on the agent's disk, from the names of its files."""
    files = (fleet.folder / "one" / "agent" / "outbox").glob("*.spill")
    return sum(int(file.name.split(".")[4]) for file in files)


def _at_rest(fleet: Fleet) -> Outcome:
    """Return the stored and counted rows once none is in flight."""
    eventually(lambda: not _spilled_rows(fleet), "the outbox to be empty")

    def look() -> Outcome | None:
        found = outcome(fleet.client, NAME)
        time.sleep(1.0)
        return found if found == outcome(fleet.client, NAME) else None

    return eventually(look, "the store to be at rest")


@pytest.mark.timeout(60 + 60 * ROUNDS)
def test_an_agent_killed_at_any_moment_loses_what_was_in_its_memory_and_no_more(fleet: Fleet) -> None:
    choice = random.Random()
    made = missing = 0
    for _ in range(ROUNDS):
        quiet = call(2_000)
        made += quiet
        settled(fleet.client, NAME, made - missing)
        with Storm() as storm:
            _arriving(fleet)
            time.sleep(choice.uniform(0.0, 0.6))
            fleet.agents["one"].kill()
            stormed = storm.end()
        _restart(fleet)
        found = _at_rest(fleet)
        assert found.distinct == found.rows
        assert 0 <= made + stormed - missing - found.accounted <= stormed
        missing = made + stormed - found.accounted
        made += stormed
    made += call(2_000)
    assert settled(fleet.client, NAME, made - missing).distinct == made - missing


def test_what_an_agent_spilled_while_the_server_was_away_survives_its_kill(fleet: Fleet) -> None:
    fleet.server.kill()
    made = call(200, bursts=20, pause_s=0.02)
    eventually(lambda: _spilled_rows(fleet) == made, "the outbox to go to disk")
    fleet.agents["one"].kill()
    fleet.start_server()
    _restart(fleet)
    assert settled(fleet.client, NAME, made).distinct == made
