"""The programs that a keeper has while no agent runs: their number, and their end for `qd down`, which leaves none."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.keeper.messages import Exited
from quarterdeck.keeper.child_file import parse

#: below the agent's folder, where the keeper works
FOLDER = "processes"
#: how long ending may take
END_S = 30.0


def count_running(home: Path) -> int:
    """Return how many processes of the agent of this folder run, read from the keeper's files without a request."""
    running = 0
    for file in (home / FOLDER / "children").glob("*"):
        if file.name.isdecimal():
            with suppress(OSError, ValueError, KeyError, TypeError):
                told, ended = parse(file.read_bytes())
                running += ended is None and Path(f"/proc/{int(told['pid'])}").exists()
    return running


def end_left(home: Path, *, grace_s: float = 5.0) -> None:
    """End everything that the keeper of this folder still has, and the keeper. Only when its agent is gone."""
    if (home / FOLDER / "keeper.sock").exists():
        asyncio.run(_end(KeeperClient(home / FOLDER), grace_s))


async def _end(keeper: KeeperClient, grace_s: float) -> None:
    """End the children. Earlier exits stay unacknowledged in the keeper's files, for the next agent."""
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
