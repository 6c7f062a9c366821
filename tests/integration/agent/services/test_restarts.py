"""Every kind of service, in every state it can be in when the agent, its keeper or both end, continues by its rules."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from quarterdeck.model.services import Service, ServiceState
from tests.integration.agent.services.test_services import Node, node, shell

S = ServiceState


class Kind(NamedTuple):
    """A service; `again`: runs that it has at least once it went on, more than before, by whether its program ended."""

    script: str
    rules: dict[str, Any]
    states: tuple[ServiceState, ...]
    end: ServiceState | None = None  #: where it stays


KINDS = {
    "lasts": Kind("exec sleep 1000", {"max_time": -1}, (S.STARTING, S.RUNNING), S.RUNNING),
    "lasts and fails": Kind("exit 1", {"max_time": -1}, (S.BACKOFF,)),
    "runs once": Kind("exit 0", {"max_time": 0, "max_restart": 0}, (S.STOPPED,), S.STOPPED),
    "failed": Kind("exit 1", {"max_time": 0, "max_restart": 0}, (S.FAILED,), S.FAILED),
    "recurs": Kind("exit 0", {"max_time": 0, "recurring_period": 0.5}, (S.WAITING,)),
    "recurs, has a limit": Kind("sleep 0.3", {"max_time": 0.5, "recurring_period": 0.5}, (S.RUNNING, S.WAITING)),
    "recurs and fails": Kind("exit 1", {"max_time": 0, "max_restart": 0, "recurring_period": 0.5}, (S.BACKOFF,)),
    "runs too long": Kind(
        "exec sleep 1000", {"max_time": 0.3, "recurring_period": 0.5}, (S.RUNNING, S.STOPPING, S.BACKOFF)
    ),
    "is slow to stop": Kind(
        "trap '' TERM; sleep 1000", {"max_time": 0.3, "recurring_period": 0.3, "grace": 0.5}, (S.STOPPING,)
    ),
}
WALK = [(name, state) for name, kind in KINDS.items() for state in kind.states]


def runs_of(home: Path) -> int:
    return len((home / "runs").read_text().splitlines()) if (home / "runs").exists() else 0


async def goes_on(here: Node, home: Path, kind: Kind, runs: int) -> None:
    """It starts again, twice; or is where it stays."""
    if kind.end is not None:
        await here.state("a", kind.end)
    else:
        await here.until(lambda: runs_of(home) >= runs + 2, "two more runs")
        assert S.FAILED not in {state for _, state in here.seen}


async def keeper_of(here: Node) -> int:
    return await here.until(lambda: here.living.processes._keeper.pid, "a keeper")  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(("name", "state"), WALK)
@pytest.mark.parametrize("ends", ["agent", "agent, killed", "keeper", "both"])
async def test_it_goes_on_whatever_ends_in_whatever_state(
    home: Path, caplog: pytest.LogCaptureFixture, name: str, state: ServiceState, ends: str
) -> None:
    kind = KINDS[name]
    wanted: Service = shell("a", f"echo run >> {home}/runs; {kind.script}", **kind.rules)
    async with node(home, killed=ends in ("agent, killed", "both")) as here:
        await here.apply(wanted)
        await here.state("a", state)
        runs, keeper = runs_of(home), await keeper_of(here)
        if ends == "keeper":
            os.kill(keeper, signal.SIGKILL)
            await goes_on(here, home, kind, runs)
    if ends != "keeper":
        if ends == "both":
            os.kill(keeper, signal.SIGKILL)
        async with node(home) as here:
            await here.apply(wanted)
            await goes_on(here, home, kind, runs)
    assert not [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]


async def test_what_recurs_is_due_by_the_end_of_its_last_run_whenever_the_agent_began(home: Path) -> None:
    wanted = shell("a", f"echo run >> {home}/runs", max_time=0, recurring_period=3)
    async with node(home) as here:
        await here.apply(wanted)
        await here.state("a", S.WAITING)
    for _ in range(6):  # each life is shorter than the period
        if runs_of(home) > 1:
            break
        async with node(home) as here:
            await here.apply(wanted)
            await asyncio.sleep(1)
    assert runs_of(home) > 1
