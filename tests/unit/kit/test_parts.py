"""Parts: started in order, restarted however they end, closed in the opposite order."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from quarterdeck.kit.parts import Parts
from tests.support import until


async def test_a_part_starts_again_however_it_ends_and_the_others_never_notice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: Counter[str] = Counter()

    async def crash() -> None:
        runs["crash"] += 1
        raise ValueError("broken")

    async def end() -> None:
        runs["end"] += 1

    async def awaits_what_is_cancelled() -> None:
        """As grpc does to whoever reads a call that somebody else cancelled."""
        runs["cancelled"] += 1
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def cancels_itself() -> None:
        runs["itself"] += 1
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(60)

    async def forever() -> None:
        runs["steady"] += 1
        await asyncio.Event().wait()

    parts = Parts(backoff_s=0.001)
    parts.add("crash", run=crash)
    parts.add("end", run=end)
    parts.add("cancelled", run=awaits_what_is_cancelled)
    parts.add("itself", run=cancels_itself)
    parts.add("steady", run=forever)
    await parts.start()
    await until(lambda: all(runs[name] > 3 for name in ("crash", "end", "cancelled", "itself")))
    await parts.close()
    assert runs["steady"] == 1
    assert "'crash' crashed" in caplog.text
    assert "ValueError: broken" in caplog.text
    assert "'cancelled' was cancelled from within" in caplog.text
    assert "'end' ended" in caplog.text
    before = runs.total()
    await asyncio.sleep(0.05)
    assert runs.total() == before


async def test_a_part_that_cleans_up_has_done_so_when_it_is_closed() -> None:
    cleaned: list[str] = []

    async def careful() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("up")

    parts = Parts()
    parts.add("careful", run=careful)
    await parts.start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await parts.close()
    assert cleaned == ["up"]


async def test_what_is_done_once_is_tried_until_it_is_done() -> None:
    tries: list[int] = []

    async def third_time() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError

    parts = Parts(backoff_s=0.001)
    parts.add("once", run=third_time, once=True)
    await parts.start()
    await until(lambda: len(tries) == 3)
    await asyncio.sleep(0.05)
    assert len(tries) == 3
    await parts.close()


class Recorded:
    """A part that records what is done with it."""

    def __init__(self, parts: Parts, name: str, record: list[str], *, faulty: str = "") -> None:
        self.name, self.record, self.faulty = name, record, faulty
        parts.add(name, start=self.start, run=self.run, close=self.close)

    async def start(self) -> None:
        self.note("starts")

    async def run(self) -> None:
        self.record.append(f"{self.name} runs")
        try:
            await asyncio.Event().wait()
        finally:
            self.record.append(f"{self.name} ends")

    async def close(self) -> None:
        self.note("closes")

    def note(self, what: str) -> None:
        self.record.append(f"{self.name} {what}")
        if what == self.faulty:
            raise ValueError(f"{self.name} is broken")


async def test_a_new_part_is_registered_in_one_line_and_closes_before_what_it_may_use() -> None:
    record: list[str] = []
    parts = Parts()
    for name in ("store", "ingest"):
        Recorded(parts, name, record)
    parts.add("new", close=lambda: asyncio.to_thread(record.append, "new closes"))
    await parts.start()
    await until(lambda: "ingest runs" in record)
    assert record == ["store starts", "ingest starts", "store runs", "ingest runs"]
    record.clear()
    await parts.close()
    assert record == ["new closes", "ingest ends", "ingest closes", "store ends", "store closes"]


async def test_when_one_does_not_start_all_are_closed_and_none_runs() -> None:
    record: list[str] = []
    parts = Parts()
    parts.add("opened before", close=lambda: asyncio.to_thread(record.append, "opened before closes"))
    Recorded(parts, "store", record)
    Recorded(parts, "ingest", record, faulty="starts")
    Recorded(parts, "link", record)
    with pytest.raises(ValueError, match="ingest is broken"):
        await parts.start()
    assert record == ["store starts", "ingest starts", "ingest closes", "store closes", "opened before closes"]


async def test_an_error_while_closing_does_not_keep_the_others_open() -> None:
    record: list[str] = []
    parts = Parts()
    Recorded(parts, "store", record)
    Recorded(parts, "ingest", record, faulty="closes")
    await parts.start()
    with pytest.raises(ValueError, match="ingest is broken"):
        await parts.close()
    assert record[-1] == "store closes"


async def test_what_was_started_is_not_started_again() -> None:
    record: list[str] = []
    parts = Parts()
    Recorded(parts, "store", record)
    await parts.start()
    Recorded(parts, "later", record)
    await parts.start()
    await until(lambda: "later runs" in record)
    assert record.count("store starts") == record.count("store runs") == 1
    await parts.close()
