"""Rows of a table of stacks, sent by a simulated agent as a real one sends them.

Owns what the stacks look like: callers that many share, and functions that only one stack has.
"""

from __future__ import annotations

import asyncio

import numpy as np

from quarterdeck.columns.values import lists, strings
from quarterdeck.model.tables import Table
from quarterdeck.model.tokens import CreateJoinToken
from quarterdeck.testing.agents import SimulatedAgents
from tests.fleet import Fleet
from tests.telemetry import batch, body_of

#: stacks of one batch
_BATCH = 1_000
#: functions that only one stack has
_OWN = 10


def add_stacks(fleet: Fleet, table: Table, frames: int) -> None:
    """Add rows to a table like `cpu_profile` whose stacks have about this many different frames; wait for the store."""
    token = fleet.client.tokens.create(CreateJoinToken()).token
    asyncio.run(_send(fleet.link, token, table, [_stack(number) for number in range(frames // _OWN)]))


def _stack(number: int) -> list[str]:
    """Return one stack, innermost frame first."""
    shared = ["main", "serve", f"worker_{number % 4}", f"handle_{number % 50}", f"query_{number % 500}"]
    own = [f"library::function_{number}_{depth}(Request const&)" for depth in range(_OWN)]
    return [*shared, *own][::-1]


async def _send(address: str, token: str, table: Table, stacks: list[list[str]]) -> None:
    agents = await SimulatedAgents.joined(address, [token])
    async with agents:
        await agents.all_linked()
        live = agents.agents[0].connection.live
        assert live is not None
        stream = live.telemetry()
        for first in range(0, len(stacks), _BATCH):
            some = stacks[first : first + _BATCH]
            columns = {
                "pid": np.full(len(some), 7, np.uint32),
                "comm": strings(["server"] * len(some)),
                "user_stack": lists(some),
                "kernel_stack": lists([[]] * len(some)),
                "samples": 1 + np.arange(len(some), dtype=np.uint64) % 9,
            }
            await stream.send(batch(body_of(table, columns), len(some), seq=first, table=table))
            await stream.receive()
