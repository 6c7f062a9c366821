"""What a keeper has when no agent is there: how many run, and their end. For `qd down`: it leaves nothing running."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from quarterdeck.agent.processes.client import Exited, Keeper

#: below the agent's folder, where the keeper works
FOLDER = "processes"
#: how long ending may take
END_S = 30.0


def count_running(home: Path) -> int:
    """How many processes run that the agent of this folder had started, as the keeper's files say; nothing is asked."""
    running = 0
    for file in (home / FOLDER / "children").glob("*"):
        if file.name.isdecimal():
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                told = {
                    name: value for line in file.read_bytes().splitlines() for name, value in json.loads(line).items()
                }
                running += "code" not in told and Path(f"/proc/{int(told['pid'])}").exists()
    return running


def end_left(home: Path, *, grace_s: float = 5.0) -> None:
    """End everything that the keeper of this folder still has, and the keeper. Only when its agent is gone."""
    if (home / FOLDER / "keeper.sock").exists():
        asyncio.run(_end(Keeper(home / FOLDER), grace_s))


async def _end(keeper: Keeper, grace_s: float) -> None:
    """What ended before stays unacknowledged in the keeper's files: the next agent is told of it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            running = {child.id for child in await keeper.connect() if child.exit is None}
            for child_id in running:
                await keeper.kill(child_id, grace_s=grace_s)
            while running:
                events = await keeper.events()
                await keeper.acknowledge({event.id: event.seq for event in events if event.id in running})
                running -= {event.id for event in events if isinstance(event, Exited)}
            await keeper.stop()
    await keeper.close()
