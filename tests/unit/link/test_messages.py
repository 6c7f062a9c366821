"""Messages: what is sent is what arrives, newer peers are tolerated, other bytes are refused."""

from __future__ import annotations

import msgspec
import pytest

from quarterdeck.link.messages import (
    MESSAGE_LIMIT_BYTES,
    Desired,
    Heartbeat,
    Hello,
    Refused,
    TelemetryBatch,
    UnknownMessage,
    decode_from_agent,
    decode_telemetry_batch,
    decode_to_agent,
    encode,
)
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import BadFrame
from quarterdeck.model.nodes import Facts


@pytest.mark.parametrize(
    "message", [Hello(protocol=1, facts=Facts(hostname="a"), labels={"role": "web"}), Heartbeat(sent_at=1.5)]
)
def test_up(message: Hello | Heartbeat) -> None:
    assert decode_from_agent(encode(message)) == message


@pytest.mark.parametrize(
    "message", [Desired(desired=DesiredSet(revision=3)), Refused(code="revoked", reason="removed")]
)
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
