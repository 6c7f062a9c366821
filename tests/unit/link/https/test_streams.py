"""Streams over numbered requests: whatever is cut and repeated, each message arrives once and in order."""

from __future__ import annotations

import asyncio
import random
import ssl

import pytest

from quarterdeck.link.address import parse_address
from quarterdeck.link.frames import decode_telemetry_ack, decode_telemetry_batch, encode
from quarterdeck.link.https.agent import _AgentStream
from quarterdeck.link.https.client import Answer, Lane
from quarterdeck.link.https.errors import GONE, OK, to_answer
from quarterdeck.link.https.http import pack, unpack
from quarterdeck.link.https.streams import ANSWER_BYTES, WAITING_FRAMES, EndedOrderly, ServerStream
from quarterdeck.link.messages import TelemetryAck, TelemetryBatch
from quarterdeck.model.errors import BadFrame, Conflict, QuarterdeckError, TooLarge, Unavailable
from tests.support import until

Server = ServerStream[TelemetryBatch]
#: a wait that no test reaches the end of
LONG_S = 600.0


class CutLane(Lane):
    """A lane whose requests go to `server` without a socket; the first attempt of each may lose request or answer."""

    def __init__(self, server: Server, *, seed: int, cut: float = 0.7) -> None:
        super().__init__(parse_address("https://server"), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self.server = server
        self.paths: list[str] = []
        self._chance = random.Random(seed)
        self._cut = cut

    async def _post(self, path: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        first = path not in self.paths
        self.paths.append(path)
        await asyncio.sleep(0)  # as a network would, it lets other tasks send meanwhile
        cut = first and self._chance.random() < self._cut
        if cut and self._chance.random() < 0.5:
            raise Unavailable("The request was lost.")
        answer = await self._answered(path, body)
        if cut:
            raise Unavailable("The answer was lost.")
        return answer

    async def _answered(self, path: str, body: bytes) -> Answer:
        _, _, direction, number = path.split("/")
        try:
            if direction == "up":
                return (OK if await self.server.arrived(int(number), body, wait_s=LONG_S) else 202), {}, b""
            return OK, {}, await self.server.fetch(int(number), wait_s=LONG_S)
        except EndedOrderly:
            return GONE, {}, b""
        except QuarterdeckError as error:
            return to_answer(error)


def batch(seq: int) -> TelemetryBatch:
    return TelemetryBatch(epoch="e", seq=seq, floor=1, table="t", fingerprint="f", rows=1, body=b"rows")


def request(*seqs: int) -> bytes:
    return pack([encode(batch(seq)) for seq in seqs])


def ack(seq: int) -> TelemetryAck:
    return TelemetryAck(epoch="e", seqs=(seq,))


def acks(answer: bytes) -> list[TelemetryAck]:
    return [decode_telemetry_ack(frame) for frame in unpack(answer)]


@pytest.fixture
async def server() -> Server:
    return ServerStream(decode_telemetry_batch)


def agent(server: Server, *, seed: int = 0, cut: float = 0.0) -> _AgentStream[TelemetryAck]:
    up, down = CutLane(server, seed=seed, cut=cut), CutLane(server, seed=seed + 1, cut=cut)
    return _AgentStream("telemetry", up=up, down=down, decode=decode_telemetry_ack, poll_s=LONG_S)


async def seqs(server: Server, count: int) -> list[int]:
    received = [await server.receive() for _ in range(count)]
    return [message.seq for message in received if message is not None]


# ── both halves ──────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("seed", range(10))
async def test_cuts_neither_lose_nor_repeat_nor_reorder(server: Server, seed: int) -> None:
    count = 3 * WAITING_FRAMES  # more than may wait, so that senders wait too
    node = agent(server, seed=seed, cut=0.7)

    async def serve() -> list[int]:
        served: list[int] = []
        for _ in range(count):
            message = await server.receive()
            assert message is not None
            served.append(message.seq)
            await server.send(ack(message.seq))
        await server.end(EndedOrderly())
        return served

    async def acknowledged() -> list[int]:
        got: list[int] = []
        while (message := await node.receive()) is not None:
            got += message.seqs
        return got

    async def send() -> None:
        for begin in range(0, count, 3):  # three at once: they overlap, and keep their order
            await asyncio.gather(*(node.send(batch(seq)) for seq in range(begin, begin + 3)))

    served, got, _ = await asyncio.gather(serve(), acknowledged(), send())
    assert served == got == list(range(count))


async def test_overlapping_sends_are_few_requests(server: Server) -> None:
    node = agent(server)
    await asyncio.gather(*(node.send(batch(seq)) for seq in range(100)))
    assert await seqs(server, 100) == list(range(100))
    assert isinstance(node._up, CutLane)
    assert len(node._up.paths) <= 3


async def test_after_a_send_that_failed_nothing_follows(server: Server) -> None:
    node = agent(server)
    await node.send(batch(1))
    await until(lambda: not node._writer.busy)
    await server.end(Conflict("Another took its place."))
    await node.send(batch(2))
    await until(lambda: not node._writer.busy)
    for seq in (3, 4):
        with pytest.raises(Conflict, match="took its place"):
            await node.send(batch(seq))
    assert isinstance(node._up, CutLane)
    assert len(node._up.paths) == 2


async def test_a_send_that_is_cancelled_is_not_sent_and_the_others_are(server: Server) -> None:
    node = agent(server)
    await server.arrived(1, request(*range(WAITING_FRAMES)), wait_s=0)
    node._sent = 1
    sending = [asyncio.create_task(node.send(batch(1000 + number))) for number in range(2 * WAITING_FRAMES)]
    await until(lambda: sum(task.done() for task in sending) >= WAITING_FRAMES)
    waiting = [task for task in sending if not task.done()]
    for task in waiting[:-1]:
        task.cancel()
    assert await seqs(server, WAITING_FRAMES) == list(range(WAITING_FRAMES))
    sent = [1000 + number for number, task in enumerate(sending) if task.done() or task is waiting[-1]]
    assert await seqs(server, len(sent)) == sent


async def test_after_a_close_nothing_follows(server: Server) -> None:
    node = agent(server)
    await server.arrived(1, request(*range(WAITING_FRAMES)), wait_s=0)
    node._sent = 1
    await node.send(batch(998))
    await until(lambda: server.silent_s() == 0.0)
    await node._writer.close()
    with pytest.raises(Unavailable, match="closed"):
        await node.send(batch(999))
    assert await seqs(server, WAITING_FRAMES) == list(range(WAITING_FRAMES))


# ── the server's half ────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_repeated_request_is_taken_once(server: Server) -> None:
    for number, body in ((1, request(1, 2)), (1, request(1, 2)), (2, request(3)), (1, request(1, 2))):
        assert await server.arrived(number, body, wait_s=0)
    await server.break_off(Unavailable("over"))
    assert await seqs(server, 3) == [1, 2, 3]
    with pytest.raises(Unavailable, match="over"):
        await server.receive()


async def test_a_request_repeated_while_the_first_waits_for_room_is_taken_once(server: Server) -> None:
    await server.arrived(1, request(*range(WAITING_FRAMES)), wait_s=0)
    assert not await server.arrived(2, request(998), wait_s=0)
    waiting = [asyncio.create_task(server.arrived(2, request(998), wait_s=LONG_S)) for _ in range(2)]
    assert await seqs(server, WAITING_FRAMES) == list(range(WAITING_FRAMES))
    assert await asyncio.gather(*waiting) == [True, True]
    await server.arrived(3, request(999), wait_s=0)
    assert await seqs(server, 2) == [998, 999]


async def test_a_repeated_poll_gets_the_same_answer(server: Server) -> None:
    await server.send(ack(1))
    first = await server.fetch(1, wait_s=0)
    await server.send(ack(2))
    assert await server.fetch(1, wait_s=0) == first
    assert acks(first) == [ack(1)]
    assert acks(await server.fetch(2, wait_s=0)) == [ack(2)]


async def test_an_empty_answer_uses_no_number(server: Server) -> None:
    assert await server.fetch(1, wait_s=0) == b""
    await server.send(ack(1))
    assert acks(await server.fetch(1, wait_s=0)) == [ack(1)]


async def test_a_repeated_poll_displaces_the_one_that_still_waits(server: Server) -> None:
    first = asyncio.create_task(server.fetch(1, wait_s=LONG_S))
    await until(lambda: server.silent_s() == 0.0)
    second = asyncio.create_task(server.fetch(1, wait_s=LONG_S))
    with pytest.raises(Conflict, match="Another request"):
        await first
    await server.send(ack(1))
    assert acks(await second) == [ack(1)]


@pytest.mark.parametrize("number", [3, 9])
async def test_a_request_out_of_order_ends_the_stream(server: Server, number: int) -> None:
    await server.arrived(1, request(1), wait_s=0)
    with pytest.raises(Conflict, match=f"Expected request 2, found {number}"):
        await server.arrived(number, request(number), wait_s=0)
    with pytest.raises(Conflict):
        await server.arrived(2, request(2), wait_s=0)
    assert await seqs(server, 1) == [1]  # messages in order are delivered, and nothing after them
    with pytest.raises(Conflict):
        await server.receive()
    with pytest.raises(Conflict):
        await server.send(ack(1))


@pytest.mark.parametrize("number", [0, 1, 4])
async def test_a_poll_out_of_order_ends_the_stream(server: Server, number: int) -> None:
    for seq in (1, 2):
        await server.send(ack(seq))
        await server.fetch(seq, wait_s=0)
    with pytest.raises(Conflict, match=f"Expected to be asked for answer 3, found {number}"):
        await server.fetch(number, wait_s=0)
    with pytest.raises(Conflict):
        await server.receive()
    with pytest.raises(Conflict):
        await server.send(ack(3))


async def test_a_body_that_is_no_frames_ends_the_stream(server: Server) -> None:
    with pytest.raises(BadFrame):
        await server.arrived(1, b"\x00\x00\x00\x09short", wait_s=0)
    with pytest.raises(BadFrame):
        await server.receive()


async def test_a_request_of_too_many_messages_is_refused(server: Server) -> None:
    with pytest.raises(TooLarge, match=f"limit of {WAITING_FRAMES}"):
        await server.arrived(1, pack([b""] * (WAITING_FRAMES + 1)), wait_s=0)
    with pytest.raises(TooLarge):
        await server.receive()


async def test_what_was_sent_before_the_end_is_still_fetched(server: Server) -> None:
    await server.send(ack(1))
    await server.end(Conflict("Another took its place."))
    assert not server.end_known.is_set()
    assert acks(await server.fetch(1, wait_s=LONG_S)) == [ack(1)]
    with pytest.raises(Conflict, match="took its place"):
        await server.fetch(2, wait_s=LONG_S)
    assert server.end_known.is_set()


async def test_a_sender_waits_while_nobody_fetches(server: Server) -> None:
    for seq in range(WAITING_FRAMES):
        await server.send(ack(seq))
    late = asyncio.create_task(server.send(ack(999)))
    await asyncio.sleep(0)
    assert not late.done()
    assert len(acks(await server.fetch(1, wait_s=0))) == WAITING_FRAMES
    await late
    assert acks(await server.fetch(2, wait_s=0)) == [ack(999)]


async def test_an_answer_is_bounded(server: Server) -> None:
    large = TelemetryAck(epoch="e", seqs=(2**62,) * (ANSWER_BYTES // 2 // 9 + 1))
    await server.send(large)
    await server.send(large)
    assert acks(await server.fetch(1, wait_s=0)) == [large]
    assert acks(await server.fetch(2, wait_s=0)) == [large]
