"""Outgoing messages: control before bulk, each queue with its limit, and no sender ends the stream of the others."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from quarterdeck.link.frames import encode
from quarterdeck.link.messages import FileChunk, Heartbeat
from quarterdeck.link.outgoing import BULK_BYTES, WAITING_FRAMES, Outgoing, Writer
from quarterdeck.model.errors import Unavailable
from tests.support import until

BEAT = Heartbeat(sent_at=1.0)
LARGE = FileChunk(sha256="s", offset=0, data=bytes(BULK_BYTES))


class Wire:
    """A wire that takes one frame for each permission."""

    def __init__(self) -> None:
        self.permissions = asyncio.Semaphore(0)
        self.frames: list[bytes] = []
        self.error: BaseException | None = None

    async def write(self, outgoing: Outgoing) -> None:
        await self.permissions.acquire()
        if self.error is not None:
            raise self.error
        self.frames += outgoing.take()

    def permit(self, count: int = 1) -> None:
        for _ in range(count):
            self.permissions.release()


async def send(writer: Writer, message: msgspec.Struct) -> None:
    await writer.send(message, encode(message))


async def test_control_goes_before_bulk_and_has_room_of_its_own() -> None:
    wire = Wire()
    writer = Writer(wire.write)
    bulk = [asyncio.create_task(send(writer, LARGE)) for _ in range(3)]
    await until(bulk[0].done)
    await send(writer, BEAT)
    assert not bulk[1].done()
    wire.permit(4)
    await asyncio.gather(*bulk)
    await writer.drain()
    assert wire.frames == [encode(BEAT), *[encode(LARGE)] * 3]


async def test_who_is_cancelled_while_waiting_for_room_leaves_the_order_to_the_others() -> None:
    wire = Wire()
    writer = Writer(wire.write)
    beats = [Heartbeat(sent_at=float(number)) for number in range(WAITING_FRAMES + 4)]
    sending = [asyncio.create_task(send(writer, beat)) for beat in beats]
    await until(lambda: sum(task.done() for task in sending) == WAITING_FRAMES)
    sending[WAITING_FRAMES].cancel()  # it holds the turn
    sending[WAITING_FRAMES + 2].cancel()  # and this one waits for it
    wire.permit(len(beats))
    await asyncio.gather(*sending, return_exceptions=True)
    await writer.drain()
    gone = (WAITING_FRAMES, WAITING_FRAMES + 2)
    assert wire.frames == [encode(beat) for number, beat in enumerate(beats) if number not in gone]


@pytest.mark.parametrize("error", [Unavailable("down"), asyncio.CancelledError()])
async def test_a_wire_that_breaks_is_an_error_to_all_who_send_also_when_it_is_cancelled(error: BaseException) -> None:
    wire = Wire()
    writer = Writer(wire.write)
    sending = [asyncio.create_task(send(writer, LARGE)) for _ in range(3)]
    await until(sending[0].done)
    wire.error = error
    wire.permit()
    for task in sending[1:]:
        with pytest.raises(Unavailable):
            await task
    with pytest.raises(Unavailable):
        await send(writer, BEAT)
    await writer.drain()
    await writer.close()


async def test_a_closed_writer_gives_up_what_waits() -> None:
    wire = Wire()
    writer = Writer(wire.write)
    await send(writer, BEAT)
    await writer.close()
    wire.permit()
    await writer.drain()
    assert not wire.frames
    with pytest.raises(Unavailable, match="closed"):
        await send(writer, BEAT)
