"""What a connected node is told of its jobs: from memory where that is enough, else as the store has it."""

from __future__ import annotations

import asyncio

from quarterdeck.link.messages import JobOffers, KillJobs, ToAgent
from quarterdeck.model.jobs import JobOffer
from quarterdeck.server.jobs.jobs import OFFERS, NextJobs
from quarterdeck.server.jobs.upcoming import NewJob, Upcoming


class Store:
    """Jobs of one node by the numbers of their commands."""

    def __init__(self) -> None:
        self.jobs: list[int] = []
        self.killed: list[str] = []
        self.read: list[int] = []
        self.during: list[NewJob] = []  #: that are stored while it is read
        self.upcoming = Upcoming(self.next)

    async def next(self, after: int) -> NextJobs:
        self.read.append(after)
        found = [number for number in self.jobs if number > after]
        messages: list[ToAgent] = []
        if found:
            messages.append(JobOffers(jobs=tuple(_offer(number) for number in found[:OFFERS])))
        if self.killed:
            messages.append(KillJobs(ids=tuple(self.killed)))
        if self.during:
            await asyncio.sleep(0)
            during, self.during = self.during, []
            self.jobs += [each.number for each in during]
            self.upcoming.add(during)
        return NextJobs(messages, found[:OFFERS][-1] if found else after, more=len(found) > OFFERS)

    def add(self, *numbers: int) -> None:
        self.jobs += numbers
        self.upcoming.add([_new(number) for number in numbers])

    async def told(self) -> list[int | str]:
        """What the next messages say: numbers of offers, ids of those to kill."""
        said: list[int | str] = []
        for message in await self.upcoming.next():
            if isinstance(message, JobOffers):
                said += [int(job.id) for job in message.jobs]
            elif isinstance(message, KillJobs):
                said += message.ids
        return said


def _offer(number: int) -> JobOffer:
    return JobOffer(id=str(number), cmd="ping")


def _new(number: int) -> NewJob:
    return NewJob(number, _offer(number))


async def test_what_is_new_is_told_without_reading() -> None:
    store = Store()
    assert await store.told() == [], "what was there before the connection is read"
    store.add(1, 2)
    assert await store.told() == [1, 2]
    store.add(3)
    assert await store.told() == [3]
    assert store.read == [0]


async def test_what_comes_while_the_store_is_read_is_read_too() -> None:
    store = Store()
    store.jobs = [1]
    store.during = [_new(2)]
    assert await store.told() == [1]
    assert await store.told() == [2]
    assert store.read == [0, 1]


async def test_what_is_too_much_is_read_in_parts() -> None:
    store = Store()
    await store.told()
    store.add(*range(1, 3 * OFFERS))
    said = [await store.told() for _ in range(3)]
    assert [number for part in said for number in part] == list(range(1, 3 * OFFERS))
    store.add(1000)
    assert await store.told() == [1000]
    assert len(store.read) == 4


async def test_what_comes_late_and_is_too_much_is_not_left_out() -> None:
    store = Store()
    await store.told()
    store.add(*range(10, 10 + OFFERS))
    store.add(9)  # of a command that was stored before them
    assert await store.told() == list(range(10, 10 + OFFERS))
    store.jobs.sort()
    assert (await store.told())[0] == 9


async def test_an_offer_goes_before_the_request_to_end_it() -> None:
    store = Store()
    await store.told()
    store.add(1)
    store.killed = ["1"]
    store.upcoming.changed()
    assert await store.told() == [1]
    assert await store.told() == ["1"]
