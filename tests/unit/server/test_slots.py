"""Slots: some are left for other tokens, and none is lost when a caller is cancelled."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from quarterdeck.model.errors import TooMany
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.slots import Slots


def token(name: str, role: Role = Role.VIEWER) -> ApiToken:
    return ApiToken(id=name, name=name, role=role)


def slots(waiting_of_token: int = 100) -> Slots:
    return Slots(4, of_viewers=3, of_token=2, waiting_of_token=waiting_of_token)


async def holders(of: Slots, tokens: list[ApiToken], stack: AsyncExitStack) -> list[asyncio.Task[None]]:
    """Start tasks that take a slot and hold it."""

    async def hold(mine: ApiToken) -> None:
        async with of.slot(mine):
            await asyncio.Event().wait()

    async def end(task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    tasks = [asyncio.create_task(hold(each)) for each in tokens]
    for task in tasks:
        stack.push_async_callback(end, task)
    await asyncio.sleep(0.01)
    return tasks


async def test_one_token_leaves_room_for_another_and_viewers_for_others() -> None:
    of = slots()
    async with AsyncExitStack() as stack:
        await holders(of, [token("a")] * 10 + [token("b")] * 10, stack)
        assert (of._taken["a"], of._taken["b"]) == (2, 1)
        async with asyncio.timeout(10), of.slot(token("admin", Role.ADMIN)):
            assert of._taken.total() == 4
    assert (of._taken.total(), len(of._waiting), of._viewers) == (0, 0, 0)


async def test_who_waits_begins_when_another_ends_in_the_order_they_came() -> None:
    of = slots()
    async with AsyncExitStack() as stack:
        first, *others = await holders(of, [token("a")] * 2, stack)
        begun: list[int] = []

        async def ask(number: int) -> None:
            async with of.slot(token("a")):
                begun.append(number)

        asking = [asyncio.create_task(ask(number)) for number in range(5)]
        await asyncio.sleep(0.01)
        assert begun == []
        first.cancel()
        await asyncio.gather(*asking)
        assert begun == [0, 1, 2, 3, 4]
        assert not others[0].done()


async def test_too_many_that_wait_are_refused() -> None:
    of = slots(waiting_of_token=3)
    async with AsyncExitStack() as stack:
        await holders(of, [token("a")] * 5, stack)
        with pytest.raises(TooMany, match="'a'"):
            async with of.slot(token("a")):
                pass
        async with of.slot(token("b")):
            pass


@pytest.mark.parametrize("seed", range(5))
async def test_no_slot_is_lost_with_who_leaves(seed: int) -> None:
    chance = random.Random(seed)
    of = slots()

    async def ask() -> None:
        async with of.slot(token(chance.choice("abc"), chance.choice(list(Role)))):
            await asyncio.sleep(chance.random() / 1000)

    tasks = [asyncio.create_task(ask()) for _ in range(100)]
    for task in tasks:
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() / 2000)
            task.cancel()
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert (of._taken.total(), len(of._waiting), of._viewers) == (0, 0, 0)
