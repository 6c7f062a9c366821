"""The bytes of a stream as messages: nothing is lost, wherever the chunks are cut."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quarterdeck.agent.messages.lines import PIECE_BYTES, LineParser, Lines
from quarterdeck.model.messages import Level, Mark

PIECE = 16
Found = list[tuple[int, bytes, int]]

MARKS = (b":", b"::", b":::", b"\n:::\n", b"5::", b"20:::", b"7:::", b"50::", b"101::77")
OTHERS = (b"\n", b"\r", b"\r\n", b"\0", b"\xc3\xa9", b"\xe2\x82\xac", b"\xf0\x9f\x9a\xa2", b"\xff", b"word", b"x" * 40)
TOKENS = st.sampled_from((*MARKS, *OTHERS))
STREAMS = st.lists(TOKENS | st.binary(max_size=8), max_size=30).map(b"".join)


def found(*lines: Lines) -> Found:
    return [each for part in lines for each in zip(part.levels, part.texts, part.marks, strict=True)]


def parse(*chunks: bytes, level: Level = Level.STDOUT, piece: int = PIECE_BYTES) -> Found:
    parser = LineParser(level, piece_bytes=piece)
    parts = [parser.feed(chunk) for chunk in chunks]
    return found(*parts, parser.end())


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"a\nb\n", [(1, b"a", 0), (1, b"b", 0)]),
        (b"\n\n", [(1, b"", 0), (1, b"", 0)]),
        (b"no end", [(1, b"no end", Mark.CONTINUES)]),
        (b"7::careful\n", [(7, b"careful", 0)]),
        (b"30::{}\n2::err\n", [(30, b"{}", 0), (2, b"err", 0)]),
        (b"7::no end", [(7, b"no end", Mark.CONTINUES)]),
        (b"20:::\n{\n\n}\n:::\nafter\n", [(20, b"{\n\n}", 0), (1, b"after", 0)]),
        (b"20:::first\nsecond\n:::\n", [(20, b"first\nsecond", 0)]),
        (b"5:::\n:::\n", [(5, b"", 0)]),
        (b"5:::\n\nx\n\n:::\n", [(5, b"\nx\n", 0)]),
        (b"5:::\n7::inside\n ::: \n::::\n:::", [(5, b"7::inside\n ::: \n::::", 0)]),
        (b"5:::a\nb\n", [(5, b"a\nb", Mark.UNTERMINATED)]),
        (b"5:::a\nb", [(5, b"a\nb", Mark.UNTERMINATED | Mark.CONTINUES)]),
        (b"win\r\ndows\r\n", [(1, b"win", Mark.CRLF), (1, b"dows", Mark.CRLF)]),
        (b"7::w\r\n5:::\r\na\r\nb\r\n:::\r\nc\n", [(7, b"w", 2), (5, b"a\r\nb", 2), (1, b"c", 0)]),
        (b"10%\r20%\rdone\n", [(1, b"10%\r20%\rdone", 0)]),
        (b"a\0b\xff\n", [(1, b"a\0b\xff", 0)]),
        (b":::\n", [(1, b":::", 0)]),
        (b" 7::x\n7:x\nx7::\n", [(1, b" 7::x", 0), (1, b"7:x", 0), (1, b"x7::", 0)]),
        (b"std::string\n", [(1, b"std::string", 0)]),
    ],
)
def test_a_stream_becomes_messages(stream: bytes, expected: Found) -> None:
    assert parse(stream) == expected


@pytest.mark.parametrize("mark", [b"50::x", b"100::x", b"101::x", b"12::x", b"0::x", b"007::x", b"2001::1", b"50:::x"])
def test_a_mark_that_programs_may_not_use_is_text_of_the_stream(mark: bytes) -> None:
    assert parse(mark + b"\nnext\n", level=Level.STDERR) == [(2, mark, 0), (2, b"next", 0)]


def test_processes_to_measure_are_told_and_the_line_is_kept() -> None:
    parser = LineParser(Level.STDERR)
    lines = parser.feed(b"101::4711\n101::0\n101::x\n5:::101::3\n101::4\n:::\n101::12\r\n")
    assert lines.meter == [4711, 12]
    assert found(lines)[0] == (2, b"101::4711", 0)
    assert len(lines) == 5


def test_what_is_complete_comes_at_once() -> None:
    parser = LineParser(Level.STDOUT)
    assert found(parser.feed(b"one\ntw")) == [(1, b"one", 0)]
    assert found(parser.feed(b"o\n")) == [(1, b"two", 0)]
    assert found(parser.end()) == []


def test_a_text_longer_than_a_piece_comes_in_several_of_one_level() -> None:
    assert parse(b"7::" + b"x" * 40 + b"\n", piece=16) == [(7, b"x" * 16, 1), (7, b"x" * 16, 1), (7, b"x" * 8, 0)]
    assert parse(b"8:::" + b"ab\n" * 9 + b":::\n", piece=16) == [
        (8, b"ab\nab\nab\nab\nab\na", Mark.CONTINUES),
        (8, b"b\nab\nab\nab", 0),
    ]


def test_a_text_as_long_as_a_piece_is_one_whatever_its_line_end() -> None:
    assert parse(b"x" * 16 + b"\r\n", piece=16) == [(1, b"x" * 16, Mark.CRLF)]
    assert parse(b"5:::" + b"x" * 16 + b"\r\n:::\n", piece=16) == [(5, b"x" * 16, Mark.CRLF)]


def test_no_piece_ends_within_a_character() -> None:
    pieces = [text for _, text, _ in parse("€".encode() * 20 + b"\n", piece=16)]
    assert "".join(piece.decode() for piece in pieces) == "€" * 20


def test_a_line_of_many_megabytes_is_not_kept_in_memory() -> None:
    parser = LineParser(Level.STDOUT)
    size = 0
    for _ in range(512):
        lines = parser.feed(b"x" * 65536)
        size += sum(map(len, lines.texts))
    assert size > 511 * 65536 - 2 * PIECE_BYTES
    assert sum(map(len, parser.feed(b"\n").texts)) + size == 512 * 65536


@given(STREAMS, st.lists(st.integers(0, 400)))
@example(b"x" * 17 + b"\r\n", [17, 18])
@example(b"5:::" + b"x" * 16 + b"\r\n:::\n", [20, 21, 22])
def test_it_does_not_matter_where_chunks_are_cut(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[start:stop] for start, stop in pairwise(places)]
    whole = parse(stream, piece=PIECE)
    assert parse(*chunks, piece=PIECE) == whole
    assert parse(*(stream[place : place + 1] for place in range(len(stream))), piece=PIECE) == whole


@given(STREAMS)
def test_the_parser_finds_the_same_as_the_simplest_one(stream: bytes) -> None:
    assert parse(stream) == simplest(stream)


@given(STREAMS)
def test_pieces_put_together_are_the_whole_texts(stream: bytes) -> None:
    assert together(parse(stream, piece=PIECE)) == together(parse(stream))
    assert all(len(text) <= PIECE for _, text, _ in parse(stream, piece=PIECE))


@given(STREAMS.map(lambda stream: stream.replace(b":", b";")), st.integers(1, 50))
def test_texts_and_line_ends_are_the_stream(stream: bytes, size: int) -> None:
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    rebuilt = b""
    for _, text, marks in parse(*chunks, piece=PIECE):
        end = b"" if marks & Mark.CONTINUES else b"\r\n" if marks & Mark.CRLF else b"\n"
        rebuilt += text + end
    assert rebuilt == stream


def together(messages: Found) -> Found:
    """Join messages of one level that continue in the next."""
    whole: Found = []
    goes_on = False
    for level, text, marks in messages:
        before = whole.pop()[1] if goes_on else b""
        whole.append((level, before + text, marks))
        goes_on = bool(marks & Mark.CONTINUES)
    return whole


def simplest(stream: bytes) -> Found:
    """The rules, one after the other, on a complete stream."""
    *lines, last = stream.split(b"\n")
    messages: Found = []
    block: list[bytes] | None = None
    level = 0
    for number, line in enumerate([*lines, last]):
        at_end = number == len(lines)
        if at_end and not line:
            break
        if block is not None:
            if line in (b":::", b":::\r"):
                messages.append(ended(level, b"\n".join(block), 0))
                block = None
            else:
                block.append(line)
            continue
        mark = re.match(rb"([1-9]|10|11|20|21|22|23|30)::(:?)", line)
        text = line[mark.end() :] if mark else line
        level = int(mark[1]) if mark else 1
        if mark and mark[2]:
            block = [text] if text not in (b"", b"\r") or (at_end and text) else []
        else:
            messages.append((level, text, 1) if at_end else ended(level, text, 0))
    if block is not None:
        text = b"\n".join(block)
        messages.append((level, text, 5) if last else ended(level, text, 4))
    return messages


def ended(level: int, text: bytes, marks: int) -> tuple[int, bytes, int]:
    return (level, text[:-1], marks | 2) if text.endswith(b"\r") else (level, text, marks)


@pytest.mark.parametrize(
    ("stream", "piece"),
    [
        (b"Password: ", b"Password: "),
        (b"10%\r20%\r", b"10%\r20%"),
        (b"caf\xc3", b"caf"),
        (b"a\xe2\x82", b"a"),
        (b"\xff", b""),
        (b"a\xff\xff", b"a\xff"),
        (b"whole\xc3\xa9", b"whole\xc3\xa9"),
    ],
)
def test_a_line_whose_end_does_not_come_is_given_as_far_as_it_can_be_shown(stream: bytes, piece: bytes) -> None:
    parser = LineParser(Level.STDOUT)
    assert not len(parser.feed(b"before\n" + stream)) - 1
    assert parser.unfinished is bool(piece)
    assert found(parser.pause()) == ([(1, piece, Mark.CONTINUES)] if piece else [])
    assert not parser.unfinished
    rest = found(parser.feed(b"!\n"))
    assert b"".join(text for _, text, _ in rest) == stream[len(piece) :] + b"!"
    assert rest[-1][2] == 0


@pytest.mark.parametrize("stream", [b"", b"7", b"7::", b"7::careful", b"20:::\n{", b"101::47", b"1::x", b"5:::a\nb"])
def test_what_has_a_mark_or_may_have_one_is_not_given_in_pieces(stream: bytes) -> None:
    parser = LineParser(Level.STDOUT)
    parser.feed(stream)
    assert not parser.unfinished
    assert not len(parser.pause())
    assert found(parser.end()) == parse(stream)


def _joined(messages: Found) -> list[tuple[int, bytes, int]]:
    whole: list[tuple[int, bytes, int]] = []
    goes_on = False
    for level, text, marks in messages:
        if goes_on and whole[-1][0] == level:
            whole[-1] = level, whole[-1][1] + text, marks
        else:
            whole.append((level, text, marks))
        goes_on = bool(marks & Mark.CONTINUES)
    return [(level, text + b"\r" * bool(marks & Mark.CRLF), marks & ~Mark.CRLF) for level, text, marks in whole]


@given(chunks=st.lists(TOKENS | st.none(), max_size=30))
def test_pauses_change_nothing_but_where_lines_are_cut(chunks: list[bytes | None]) -> None:
    parser = LineParser(Level.STDOUT)
    parts = [parser.pause() if chunk is None else parser.feed(chunk) for chunk in chunks]
    stream = b"".join(chunk for chunk in chunks if chunk is not None)
    messages = found(*parts, parser.end())
    assert _joined(messages) == _joined(parse(stream))
    assert all(text or not marks & Mark.CONTINUES for _, text, marks in messages) or b"::" in stream
