"""The HTTP subset: one form of each message; all others are refused with an error."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.link.https.http import (
    BODY_LIMIT_BYTES,
    HEAD_LIMIT_BYTES,
    pack,
    parse_head,
    read_body,
    read_head,
    unpack,
    write_message,
)
from quarterdeck.model.errors import BadFrame, TooLarge, Unavailable

#: a wait that no test reaches the end of
LONG_S = 600.0


async def in_turns(number: int) -> None:
    """Let the event loop run this many rounds, so that every task that can continue does."""
    for _ in range(number):
        await asyncio.sleep(0)


async def fed(content: bytes, *, whole: bool = True) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=HEAD_LIMIT_BYTES)
    reader.feed_data(content)
    if whole:
        reader.feed_eof()
    return reader


def test_a_head_is_its_first_line_and_headers_in_lower_case() -> None:
    head = parse_head(b"POST /link/join HTTP/1.1\r\nHost: a:1\r\nQD-Wait:15\r\nEmpty:\r\nContent-Length: \t3 ")
    assert head.request() == ("POST", "/link/join")
    assert head.headers == {"host": "a:1", "qd-wait": "15", "empty": "", "content-length": "3"}
    assert head.length == 3


@pytest.mark.parametrize(
    ("start", "status"), [("HTTP/1.1 200 OK", 200), ("HTTP/1.0 407 Proxy", 407), ("HTTP/1.1 503", 503)]
)
def test_an_answer_has_a_status(start: str, status: int) -> None:
    assert parse_head(start.encode()).status() == status


@pytest.mark.parametrize("start", ["", "HTTP/1.1 99 x", "HTTP/2 200", "HTTP/1.1 2000", "200 OK", "HTTP/1.1  200 OK"])
def test_what_is_no_answer_is_refused(start: str) -> None:
    with pytest.raises(BadFrame, match=r"Expected an HTTP/1\.1 answer"):
        parse_head(start.encode()).status()


@pytest.mark.parametrize(
    "start",
    [
        "",
        "POST / HTTP/1.0",
        "POST / HTTP/2",
        "POST /",
        "post / HTTP/1.1",
        "POST  / HTTP/1.1",
        "POST /a b HTTP/1.1",
        "POST /\t HTTP/1.1",
        "POST http://host/ HTTP/1.1",
        "POST * HTTP/1.1",
        " POST / HTTP/1.1",
        "POST / HTTP/1.1 ",
        "POST /\nX HTTP/1.1",
    ],
)
def test_what_is_no_request_is_refused(start: str) -> None:
    with pytest.raises(BadFrame, match=r"Expected an HTTP/1\.1 request"):
        parse_head(start.encode()).request()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no colon",
        b": no name",
        b"space before: x",
        b"name : x",
        b" folded: x",
        b"\tcontinued",
        b"a: b\nc: d",
        b"a: b\rc: d",
        b"a: \x00",
        b"a: \x7f",
        b"n\x00: x",
        b"a: \xc3\xa4",
    ],
)
def test_what_is_no_header_is_refused(line: bytes) -> None:
    with pytest.raises(BadFrame):
        parse_head(b"POST / HTTP/1.1\r\n" + line)


@pytest.mark.parametrize("name", ["Content-Length", "Host", "Transfer-Encoding"])
def test_a_header_that_frames_a_message_must_not_be_repeated(name: str) -> None:
    with pytest.raises(BadFrame, match="found two"):
        parse_head(f"POST / HTTP/1.1\r\n{name}: 1\r\n{name.upper()}: 1".encode())


@pytest.mark.parametrize("value", ["", "+1", "-1", "1_0", "0x1", "1,1", "1 1", "1.0", "9" * 13, "²"])
def test_a_length_is_digits(value: str) -> None:
    with pytest.raises(BadFrame):
        _ = parse_head(f"POST / HTTP/1.1\r\nContent-Length: {value}".encode()).length


@pytest.mark.parametrize("value", ["chunked", "identity", "", "gzip, chunked"])
def test_chunks_are_refused_whatever_else_is_said(value: str) -> None:
    with pytest.raises(BadFrame, match="Transfer-Encoding"):
        _ = parse_head(f"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: {value}".encode()).length


def test_the_length_of_a_body_is_limited() -> None:
    assert parse_head(f"x\r\nContent-Length: {BODY_LIMIT_BYTES}".encode()).length == BODY_LIMIT_BYTES
    with pytest.raises(TooLarge, match="over the limit"):
        _ = parse_head(f"x\r\nContent-Length: {BODY_LIMIT_BYTES + 1}".encode()).length


async def test_messages_follow_one_another() -> None:
    reader = await fed(write_message("one", {"a": "1"}, b"first") + write_message("two", {}))
    one = await read_head(reader, idle_s=LONG_S)
    assert one is not None
    assert (one.start, one.headers) == ("one", {"a": "1", "content-length": "5"})
    assert await read_body(reader, one.length) == b"first"
    two = await read_head(reader, idle_s=LONG_S)
    assert two is not None
    assert (two.start, two.length) == ("two", 0)
    assert await read_head(reader, idle_s=LONG_S) is None


async def test_a_connection_that_says_nothing_is_idle() -> None:
    assert await read_head(await fed(b"", whole=False), idle_s=0.01) is None


async def test_a_head_that_is_cut_is_none() -> None:
    assert await read_head(await fed(b"POST / HTTP/1.1\r\nHost"), idle_s=LONG_S) is None


async def test_a_head_that_never_ends_is_refused() -> None:
    with pytest.raises(BadFrame, match="Expected a head"):
        await read_head(await fed(b"POST / HTTP/1.1\r\n", whole=False), idle_s=LONG_S, timeout_s=0.01)


async def test_a_head_is_limited() -> None:
    with pytest.raises(BadFrame, match=f"at most {HEAD_LIMIT_BYTES} bytes"):
        await read_head(await fed(b"a" * 2 * HEAD_LIMIT_BYTES, whole=False), idle_s=LONG_S)


@pytest.mark.parametrize("turns", range(4))
async def test_who_is_told_to_end_as_bytes_come_ends(turns: int) -> None:
    reader = await fed(b"", whole=False)
    reading = asyncio.create_task(read_head(reader, idle_s=LONG_S))
    await in_turns(5)
    reader.feed_data(b"P")
    await in_turns(turns)
    reading.cancel()
    await in_turns(5)
    assert reading.cancelled()


@pytest.mark.parametrize("whole", [True, False])
async def test_a_body_that_does_not_come_whole_is_unavailable(whole: bool) -> None:
    with pytest.raises(Unavailable, match="did not arrive completely"):
        await read_body(await fed(b"abc", whole=whole), 4, timeout_s=0.01)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb"])
def test_a_header_that_would_be_two_is_not_written(value: str) -> None:
    with pytest.raises(BadFrame, match="one line"):
        write_message("POST / HTTP/1.1", {"a": value})


@pytest.mark.parametrize("body", [b"\x00", b"\x00\x00\x00", b"\x00\x00\x00\x01", b"\xff\xff\xff\xffabc"])
def test_a_body_that_ends_within_a_frame_is_refused(body: bytes) -> None:
    with pytest.raises(BadFrame, match="ends within one"):
        unpack(pack([b"good"]) + body)
