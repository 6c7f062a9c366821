"""The intake: many batches at once, bounded in bytes, each stored once, acknowledged when stored."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.link.messages import TelemetryAck, TelemetryBatch
from quarterdeck.model.errors import BadInput, QuarterdeckError, Unavailable
from quarterdeck.model.ingest import Origin
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.ingest.batches import IncomingBatch
from quarterdeck.server.ingest.intake import Intake
from tests.support import until

AGENT = AgentIdentity(agent_id="a", gid=1, nid=1, serial="1")


class Wire:
    """A telemetry stream in memory; ends when `None` is fed."""

    def __init__(self) -> None:
        self.up: asyncio.Queue[TelemetryBatch | None] = asyncio.Queue()
        self.acks: list[TelemetryAck] = []
        self.received = 0

    def feed(self, *seqs: int, size: int = 10) -> None:
        for seq in seqs:
            body = b"x" * size
            self.up.put_nowait(
                TelemetryBatch(epoch="e", seq=seq, floor=1, table="t", fingerprint="f", rows=1, body=body)
            )

    async def receive(self) -> TelemetryBatch | None:
        batch = await self.up.get()
        self.received += 1
        return batch

    async def send(self, message: TelemetryAck) -> None:
        self.acks.append(message)

    def acked(self) -> list[int]:
        return sorted(seq for ack in self.acks for seq in ack.seqs)


class Store:
    """Stores when the test allows it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.started: list[int] = []
        self.error: Exception | None = None

    async def __call__(self, batch: IncomingBatch) -> None:
        assert batch.origin == Origin(AGENT.agent_id, AGENT.gid, AGENT.nid)
        self.started.append(batch.seq)
        await self.open.wait()
        if self.error is not None:
            raise self.error


async def test_several_are_stored_at_once_and_acknowledged_together() -> None:
    wire, store = Wire(), Store()
    serving = asyncio.create_task(Intake(store).serve(AGENT, wire))
    wire.feed(*range(1, 51))
    await until(lambda: len(store.started) == 50)
    assert wire.acks == []
    store.open.set()
    await until(lambda: wire.acked() == list(range(1, 51)))
    assert len(wire.acks) < 10
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_at_the_limit_nothing_more_is_taken_and_one_large_batch_still_passes() -> None:
    wire, store = Wire(), Store()
    serving = asyncio.create_task(Intake(store, limit_bytes=4000).serve(AGENT, wire))
    wire.feed(1, size=100_000)
    wire.feed(2, 3, 4)
    await until(lambda: wire.received == 2)
    await asyncio.sleep(0.05)  # in which it could take more, and must not
    assert store.started == [1]
    assert wire.received == 2
    store.open.set()
    await until(lambda: wire.acked() == [1, 2, 3, 4])
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_a_repeat_waits_for_its_first_copy_even_over_another_stream() -> None:
    first, second, store = Wire(), Wire(), Store()
    intake = Intake(store)
    old = asyncio.create_task(intake.serve(AGENT, first))
    first.feed(1)
    await until(lambda: store.started)
    old.cancel()
    new = asyncio.create_task(intake.serve(AGENT, second))
    second.feed(1, 1)
    await until(lambda: second.received == 2)
    store.open.set()
    await until(lambda: second.acked() == [1, 1])
    assert store.started == [1]
    new.cancel()
    await asyncio.gather(old, new, return_exceptions=True)


async def test_unavailable_asks_for_patience_and_goes_on() -> None:
    wire, store = Wire(), Store()
    store.error = Unavailable("full")
    store.open.set()
    serving = asyncio.create_task(Intake(store).serve(AGENT, wire))
    wire.feed(1)
    await until(lambda: wire.acks)
    assert wire.acks == [TelemetryAck(epoch="e", seqs=(), retry_after_s=1.0)]
    store.error = None
    wire.feed(1)
    await until(lambda: wire.acked() == [1])
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.parametrize(("fault", "seen"), [(BadInput("no"), BadInput), (ZeroDivisionError(), QuarterdeckError)])
async def test_a_fault_of_the_store_ends_the_stream(fault: Exception, seen: type[Exception]) -> None:
    wire, store = Wire(), Store()
    store.error = fault
    store.open.set()
    wire.feed(1)
    with pytest.raises(seen):
        await Intake(store).serve(AGENT, wire)


async def test_draining_waits_for_what_is_being_stored() -> None:
    wire, store = Wire(), Store()
    intake = Intake(store)
    serving = asyncio.create_task(intake.serve(AGENT, wire))
    wire.feed(1)
    await until(lambda: store.started)
    serving.cancel()
    draining = asyncio.create_task(intake.drain())
    await asyncio.sleep(0.01)
    assert not draining.done()
    store.open.set()
    await draining
    await asyncio.gather(serving, return_exceptions=True)
