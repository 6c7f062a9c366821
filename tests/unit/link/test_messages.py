"""Messages: they arrive as they were sent, newer peers are tolerated, other bytes are refused."""

from __future__ import annotations

import msgspec
import pytest

from quarterdeck.link.frames import UnknownMessage, decode_from_agent, decode_telemetry_batch, decode_to_agent, encode
from quarterdeck.link.limits import MESSAGE_LIMIT_BYTES
from quarterdeck.link.messages import (
    AskMessages,
    Desired,
    Heartbeat,
    Hello,
    MessagesFound,
    Refused,
    StopAsking,
    TelemetryBatch,
)
from quarterdeck.model.errors import BadFrame
from quarterdeck.model.messages import Message, MessagePage
from quarterdeck.model.nodes import Facts
from quarterdeck.testing.placements import desired_set


@pytest.mark.parametrize(
    "message", [Hello(protocol=1, facts=Facts(hostname="a"), labels={"role": "web"}), Heartbeat(sent_at=1.5)]
)
def test_up(message: Hello | Heartbeat) -> None:
    assert decode_from_agent(encode(message)) == message


@pytest.mark.parametrize("message", [Desired(desired=desired_set(3)), Refused(code="revoked", reason="removed")])
def test_down(message: Desired | Refused) -> None:
    assert decode_to_agent(encode(message)) == message


def test_keys_of_a_newer_peer_are_ignored() -> None:
    frame = msgspec.msgpack.encode({"type": "heartbeat", "sent_at": 1.0, "mood": "good"})
    assert decode_from_agent(frame) == Heartbeat(sent_at=1.0)


def test_a_kind_of_a_newer_peer_is_told_apart_from_garbage() -> None:
    with pytest.raises(UnknownMessage, match="teleport"):
        decode_from_agent(msgspec.msgpack.encode({"type": "teleport", "to": "mars"}))


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"GET / HTTP/1.1", msgspec.msgpack.encode({"type": "hello"})])
def test_garbage_is_a_bad_frame_but_not_an_unknown_message(frame: bytes) -> None:
    with pytest.raises(BadFrame) as caught:
        decode_from_agent(frame)
    assert not isinstance(caught.value, UnknownMessage)


def test_every_truncation_is_a_bad_frame() -> None:
    batch = TelemetryBatch(epoch="e", seq=1, floor=1, table="t", fingerprint="f", rows=2, body=b"12345")
    frame = encode(batch)
    for end in range(len(frame)):
        with pytest.raises(BadFrame):
            decode_telemetry_batch(frame[:end])


def test_a_message_in_the_wrong_direction_is_a_bad_frame() -> None:
    with pytest.raises(BadFrame) as caught:
        decode_to_agent(encode(Heartbeat(sent_at=1.0)))
    assert not isinstance(caught.value, UnknownMessage)


def test_a_message_over_the_limit_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(BadFrame, match="limit"):
        decode_from_agent(bytes(MESSAGE_LIMIT_BYTES + 1))


QUESTIONS = {
    AskMessages: (
        AskMessages(number=7, filter={"job_id": "j"}, wait_s=1.5),
        "84a474797065ac61736b5f6d65737361676573a66e756d62657207a666696c74657281a66a6f625f6964a16aa6776169745f73cb3ff8000000000000",
    ),
    StopAsking: (StopAsking(number=7), "82a474797065ab73746f705f61736b696e67a66e756d62657207"),
    MessagesFound: (
        MessagesFound(
            number=7,
            page=MessagePage(
                messages=(Message(id=1, job_id="j", epoch=2, level=7, data="x", place=3),), cursor="3", resume="3"
            ),
        ),
        (
            "83a474797065ae6d657373616765735f666f756e64a66e756d62657207a47061676583a86d657373616765739186a2696401a66a6f625f6964a16a"
            "a565706f636802a56c6576656c07a464617461a178a5706c61636503a6637572736f72a133a6726573756d65a133"
        ),
    ),
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_questions_for_messages_are_the_bytes_that_older_peers_know(kind: type[msgspec.Struct]) -> None:
    message, frame = QUESTIONS[kind]
    assert encode(message).hex() == frame
    decode = decode_from_agent if kind is MessagesFound else decode_to_agent
    assert decode(bytes.fromhex(frame)) == message


def test_a_filter_of_a_newer_server_is_no_broken_frame() -> None:
    frame = msgspec.msgpack.encode({"type": "ask_messages", "number": 1, "filter": {"mood": ["good"]}, "depth": 3})
    assert decode_to_agent(frame) == AskMessages(number=1, filter={"mood": ["good"]})
