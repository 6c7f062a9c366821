"""Sends the outbox's batches to the server while a link is up, several in flight, and takes the acknowledgements."""

from __future__ import annotations

import asyncio
import logging

from quarterdeck.agent.outbox import Outbox
from quarterdeck.kit.race import until_first
from quarterdeck.link.messages import TelemetryAck, TelemetryBatch
from quarterdeck.link.wire import Stream
from quarterdeck.model.errors import Unavailable

log = logging.getLogger(__name__)


async def ship(outbox: Outbox, stream: Stream[TelemetryAck, TelemetryBatch]) -> None:
    """Send until the link ends, which raises. Batches without an acknowledgement stay in the outbox."""
    ready = asyncio.Event()
    ready.set()
    outbox.opened()
    try:
        await until_first(_send(outbox, stream, ready), _receive(outbox, stream, ready))
    finally:
        outbox.closed()


async def _send(outbox: Outbox, stream: Stream[TelemetryAck, TelemetryBatch], ready: asyncio.Event) -> None:
    while True:
        await ready.wait()
        await stream.send(await outbox.next())


async def _receive(outbox: Outbox, stream: Stream[TelemetryAck, TelemetryBatch], ready: asyncio.Event) -> None:
    while (ack := await stream.receive()) is not None:
        outbox.acknowledge(ack)
        if ack.retry_after_s > 0 and ready.is_set():
            log.warning("the server cannot store telemetry now, trying again in %.1f s", ack.retry_after_s)
            ready.clear()
            asyncio.get_running_loop().call_later(ack.retry_after_s, _again, outbox, ready)
    raise Unavailable("The server ended the telemetry stream.")


def _again(outbox: Outbox, ready: asyncio.Event) -> None:
    outbox.rewind()
    ready.set()
