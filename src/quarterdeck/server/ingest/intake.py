"""Receives telemetry batches from agents' streams, passes them on to be stored, and acknowledges them.

Several batches of a stream are in flight. The bytes being stored are counted over all agents: at the limit no stream is
read any further, so the wire's flow control stops the agents, and their outboxes keep the rows. It never stores or
decodes a batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from quarterdeck.kit.race import until_first
from quarterdeck.link.messages import TelemetryAck, TelemetryBatch
from quarterdeck.link.wire import Stream
from quarterdeck.model.errors import QuarterdeckError, Unavailable
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.ingest.batches import IncomingBatch, from_agent

log = logging.getLogger(__name__)

Store = Callable[[IncomingBatch], Awaitable[None]]
TelemetryStream = Stream[TelemetryBatch, TelemetryAck]

#: batches being stored, of all agents together
LIMIT_BYTES = 256 * 1024 * 1024
#: memory of a batch in addition to its body
_OVERHEAD_BYTES = 512


class Intake:
    """Passes batches to `store`, which returns when a batch is on disk, or raises `Unavailable` to have it repeated."""

    def __init__(self, store: Store, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._store = store
        self._limit = limit_bytes
        self._held = 0
        self._space = asyncio.Condition()
        #: a repeat that arrives while its first copy is still being stored waits for that one
        self._storing: dict[tuple[str, str, int], asyncio.Task[None]] = {}

    async def serve(self, agent: AgentIdentity, stream: TelemetryStream) -> None:
        """Receive batches until the agent ends the stream; raise an error of the store that is not `Unavailable`."""
        acks = _Acks(stream)
        await until_first(acks.send(), self._receive(agent, stream, acks))

    async def drain(self) -> None:
        """Wait for all batches that are being stored."""
        await asyncio.gather(*self._storing.values(), return_exceptions=True)

    async def _receive(self, agent: AgentIdentity, stream: TelemetryStream, acks: _Acks) -> None:
        while (batch := await stream.receive()) is not None:
            incoming = from_agent(agent, batch)
            task = self._storing.get(incoming.key)
            if task is None:
                size = len(batch.body) + _OVERHEAD_BYTES
                async with self._space:
                    await self._space.wait_for(lambda: not self._held or self._held < self._limit)
                self._held += size
                task = asyncio.create_task(self._store_one(incoming, size))
                self._storing[incoming.key] = task
            acks.expect(batch, task)

    async def _store_one(self, batch: IncomingBatch, size: int) -> None:
        try:
            await self._store(batch)
        finally:
            self._storing.pop(batch.key, None)
            self._held -= size
            async with self._space:
                self._space.notify_all()


class _Acks:
    """Acknowledgements of one stream, gathered while an earlier one is being sent."""

    def __init__(self, stream: TelemetryStream) -> None:
        self._stream = stream
        self._news = asyncio.Event()
        self._stored: dict[str, list[int]] = {}
        self._retry: dict[str, float] = {}
        self._fault: BaseException | None = None

    def expect(self, batch: TelemetryBatch, task: asyncio.Task[None]) -> None:
        task.add_done_callback(lambda done: self._settled(batch.epoch, batch.seq, done))

    def _settled(self, epoch: str, seq: int, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._stored.setdefault(epoch, []).append(seq)
        elif isinstance(error, Unavailable):
            self._retry[epoch] = max(error.retry_after_s, self._retry.get(epoch, 0.1))
        else:
            self._fault = error
        self._news.set()

    async def send(self) -> None:
        """Send acknowledgements until cancelled; raise the store's error when a repeat of the batch will not help."""
        while True:
            await self._news.wait()
            self._news.clear()
            stored, self._stored = self._stored, {}
            retry, self._retry = self._retry, {}
            for epoch in stored.keys() | retry.keys():
                seqs = tuple(stored.get(epoch, ()))
                await self._stream.send(TelemetryAck(epoch=epoch, seqs=seqs, retry_after_s=retry.get(epoch, 0.0)))
            if isinstance(self._fault, QuarterdeckError):
                raise self._fault
            if self._fault is not None:
                raise QuarterdeckError("A batch could not be stored.") from self._fault
