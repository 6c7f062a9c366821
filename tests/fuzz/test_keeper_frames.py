"""Any bytes between agent and keeper are frames or NotAFrame, never another error, however they are cut."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.keeper.protocol import Frames, NotAFrame, frame

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


def header(kind: str, rest: dict[str, str]) -> dict[str, str]:
    return {**rest, "t": kind}


def near_frame(size: int, head: int, rest: bytes) -> bytes:
    return struct.pack("!II", size, head) + rest


headers = st.builds(header, st.text(), st.dictionaries(st.text(), st.text()))
near_frames = st.builds(near_frame, st.integers(0, 40), st.integers(0, 40), st.binary(max_size=40))
odd_headers = st.dictionaries(st.text(max_size=2), values).map(frame)


@given(parts=st.lists(st.binary() | near_frames | odd_headers | headers.map(frame)))
def test_any_bytes_are_frames_or_not_a_frame(parts: list[bytes]) -> None:
    frames = Frames()
    with suppress(NotAFrame):
        for part in parts:
            for head, body in frames.feed(part):
                assert isinstance(head["t"], str)
                assert isinstance(body, bytes)


@given(depth=st.integers(1, 200_000), opening=st.sampled_from([b"[", b'{"t":']))
def test_deep_nesting_is_not_a_frame(depth: int, opening: bytes) -> None:
    text = opening * depth
    with suppress(NotAFrame):
        assert not list(Frames().feed(struct.pack("!II", len(text) + 4, len(text)) + text))


@given(sent=st.lists(st.tuples(headers, st.binary())), cuts=st.lists(st.integers(0, 2000)))
def test_frames_are_read_as_they_were_written(sent: list[tuple[dict[str, str], bytes]], cuts: list[int]) -> None:
    content = b"".join(frame(head, body) for head, body in sent)
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    frames = Frames()
    read = [each for at, end in pairwise(places) for each in frames.feed(content[at:end])]
    assert read == sent
