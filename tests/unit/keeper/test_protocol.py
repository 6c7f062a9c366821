"""Frames, however they are cut, and what is none."""

from __future__ import annotations

import struct

import pytest

from quarterdeck.keeper.protocol import FRAME_LIMIT_BYTES, Frames, NotAFrame, frame

SENT = [({"t": "hello", "version": 1}, b""), ({"t": "output", "id": "ä"}, bytes(range(256))), ({"t": "stop"}, b"x")]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_frames_arrive_however_they_are_cut(size: int) -> None:
    sent = b"".join(frame(header, body) for header, body in SENT)
    frames = Frames()
    assert [each for at in range(0, len(sent), size) for each in frames.feed(sent[at : at + size])] == SENT


@pytest.mark.parametrize(
    "bad",
    [
        struct.pack("!II", FRAME_LIMIT_BYTES + 1, 2),
        struct.pack("!II", 0, 0),
        struct.pack("!II", 4, 1),
        struct.pack("!II", 4, 0),
        struct.pack("!II", 6, 2) + b"[]",
        struct.pack("!II", 6, 2) + b"{}",
        struct.pack("!II", 11, 7) + b'{"t":1}',
        struct.pack("!II", 6, 2) + b"\xff\xff",
        struct.pack("!II", 100_004, 100_000) + b"[" * 100_000,
    ],
)
def test_what_is_no_frame_is_said_so_after_those_before_it(bad: bytes) -> None:
    fed = Frames().feed(frame({"t": "list"}) + bad)
    assert next(fed) == ({"t": "list"}, b"")
    with pytest.raises(NotAFrame):
        next(fed)
