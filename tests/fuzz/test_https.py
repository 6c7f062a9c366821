"""Any bytes on the https wire are a message or an error in words: heads, bodies of frames, whole requests."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from quarterdeck.link.https.http import HEAD_LIMIT_BYTES, pack, parse_head, read_body, read_head, unpack
from quarterdeck.model.errors import BadFrame, QuarterdeckError

lines = st.text(st.characters(max_codepoint=127), max_size=40).map(str.encode)
heads = st.lists(
    st.sampled_from([b"POST /link/join HTTP/1.1", b"Content-Length: 3", b"transfer-encoding: chunked", b"a: b"]) | lines
).map(b"\r\n".join)


@given(st.binary() | heads)
@example(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2")
@example(b"POST / HTTP/1.1\r\nContent-Length: +1")
def test_any_head_is_read_or_refused(block: bytes) -> None:
    with suppress(QuarterdeckError):
        head = parse_head(block)
        assert head.length >= 0
        assert head.request()[1].startswith("/")


@given(st.binary(max_size=300))
def test_any_body_is_frames_or_refused(body: bytes) -> None:
    with suppress(BadFrame):
        assert pack(unpack(body)) == body


@given(st.lists(st.binary(max_size=50)))
def test_frames_come_back_as_they_were(frames: list[bytes]) -> None:
    assert unpack(pack(frames)) == frames


@given(st.binary(max_size=400) | heads.map(lambda head: head + b"\r\n\r\nabc"), st.binary(max_size=40))
def test_any_stream_is_requests_until_it_is_refused(begin: bytes, rest: bytes) -> None:
    async def read() -> None:
        reader = asyncio.StreamReader(limit=HEAD_LIMIT_BYTES)
        reader.feed_data(begin + rest)
        reader.feed_eof()
        while (head := await read_head(reader, idle_s=1.0)) is not None:
            assert len(await read_body(reader, head.length)) == head.length

    with suppress(QuarterdeckError):
        asyncio.run(read())
