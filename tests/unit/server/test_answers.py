"""Answers: a token that does not read starts no further query, other tokens do, and no byte is counted permanently."""

from __future__ import annotations

import asyncio
import gc
import random
import threading

import pytest

from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.answers import Answers


class Answer:
    """Something that takes memory."""


def token(name: str, role: Role = Role.VIEWER) -> ApiToken:
    return ApiToken(id=name, name=name, role=role)


def give(of: Answers, size: int, to: ApiToken) -> Answer:
    answer = Answer()
    of.hold(answer, size, to)
    return answer


async def test_one_token_leaves_room_for_another_and_viewers_for_others() -> None:
    of = Answers(100)
    kept = [give(of, 50, token("a"))]
    assert [of.may_ask(token("a")), of.may_ask(token("b"))] == [False, True]
    kept.append(give(of, 60, token("b")))
    assert [of.may_ask(token("c")), of.may_ask(token("x", Role.ADMIN))] == [False, True]
    kept.append(give(of, 1000, token("x", Role.ADMIN)))
    assert not of.may_ask(token("y", Role.ADMIN))
    del kept
    gc.collect()
    async with asyncio.timeout(10):
        await of.room(token("a"))
    assert (of._held.total(), of._of.total()) == (0, 0)


async def test_who_waits_goes_on_when_an_answer_is_gone_wherever_it_was_dropped() -> None:
    of = Answers(100)
    held = [give(of, 60, token("a"))]
    waiting = [asyncio.create_task(of.room(token("a"))) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    dropping = threading.Thread(target=held.clear)
    dropping.start()
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    dropping.join()


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_ends_in_whatever_order_nothing_stays_counted(seed: int) -> None:
    chance, of, held = random.Random(seed), Answers(1000), list[Answer]()
    for _ in range(300):
        whose = token(chance.choice("abc"), chance.choice(list(Role)))
        if chance.random() < 0.5 and of.may_ask(whose):
            held.append(give(of, chance.randrange(400), whose))
        elif held:
            held.pop(chance.randrange(len(held)))
        await asyncio.sleep(0)
    held.clear()
    await asyncio.sleep(0.01)
    assert (of._held.total(), of._of.total()) == (0, 0)
