"""The connection to the keeper, without a keeper."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from quarterdeck.agent.keeper.client import KeeperClient


async def test_a_caller_that_stops_waiting_for_the_keeper_leaves_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = asyncio.Event()

    async def never_open(_: KeeperClient) -> asyncio.StreamReader:
        opening.set()
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(KeeperClient, "_open", never_open)
    client = KeeperClient(tmp_path)
    before = asyncio.all_tasks()
    connecting = asyncio.create_task(client.connect())
    await opening.wait()
    connecting.cancel()
    await asyncio.wait((connecting,))
    assert {task.get_name() for task in asyncio.all_tasks() - before} == {"keeper"}
    await client.close()
    assert asyncio.all_tasks() == before
