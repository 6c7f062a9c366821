"""Tasks that come and go, held by their owner."""

from __future__ import annotations

import asyncio

from quarterdeck.kit.tasks import TaskSet


async def test_a_task_is_held_until_it_has_ended() -> None:
    tasks, go = TaskSet(), asyncio.Event()

    async def work() -> None:
        await go.wait()

    tasks.spawn(work(), name="work")
    assert [task.get_name() for task in tasks] == ["work"]
    await tasks.wait(limit_s=0)
    assert len(tasks) == 1
    go.set()
    await tasks.wait()
    assert not tasks


async def test_cancelled_they_are_waited_for_whatever_they_raise() -> None:
    tasks, ended = TaskSet(), list[str]()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("stubborn")
            raise ValueError

    tasks.spawn(stubborn())
    await asyncio.sleep(0)
    await tasks.cancel()
    assert ended == ["stubborn"]
