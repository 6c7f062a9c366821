"""Levels in their written forms, and valid filters."""

from __future__ import annotations

import msgspec
import pytest

from quarterdeck.model.errors import BadInput
from quarterdeck.model.messages import (
    RESULT_LEVELS,
    Level,
    Levels,
    LogLevels,
    Mark,
    Message,
    MessageFilter,
    MessagePage,
)


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("*", set(range(1, 31))),
        ("1", {1}),
        ("1,2,3", {1, 2, 3}),
        ("1-5", {1, 2, 3, 4, 5}),
        (" 1 - 3 , 9 ", {1, 2, 3, 9}),
        ("7,*", set(range(1, 31))),
        ([1, 9], {1, 9}),
        ((20,), {20}),
        (7, {7}),
        ("", set[int]()),
        ([], set[int]()),
    ],
)
def test_a_set_of_levels_is_read(written: object, numbers: set[int]) -> None:
    assert Levels.parse(written).numbers == numbers


@pytest.mark.parametrize(
    "written",
    ["0", "31", "50", "101", "5-1", "1-", "-3", "a", "1,,2", "1;2", "²", [0], ["1"], [True], {}, None, 1.5, 50],
)
def test_what_is_no_set_of_levels_is_refused_in_words(written: object) -> None:
    with pytest.raises(BadInput, match="level") as refused:
        Levels.parse(written)
    assert "1-5" in refused.value.hint


@pytest.mark.parametrize("written", ["*", "1", "1-3", "1-3,5,7-8", ""])
def test_a_set_of_levels_is_written_as_short_as_it_can_be(written: str) -> None:
    assert str(Levels.parse(written)) == written
    assert bool(Levels.parse(written)) == bool(written)


def test_the_levels_are_the_documents() -> None:
    ordinary = ["STDOUT", "STDERR", "PUBLIC", "OPERATOR", "LOG", "STRUCTURED_LOG", "WARNING", "OPS_ERROR", "CRITICAL"]
    assert [level.name for level in Level if level < Level.STATSD] == ordinary
    assert [int(level) for level in Level] == [*range(1, 12), 20, 21, 22, 23, 30]
    results = {20: "RESULT_JSON", 21: "RESULT_YAML", 22: "RESULT_TOML", 23: "RESULT_HRD", 30: "JOB_JSON"}
    assert {int(level): level.name for level in RESULT_LEVELS} == results
    assert Level.STATSD == 10
    assert Level.CRITICAL in Levels.parse("1-9")


def test_the_usual_levels_can_be_read() -> None:
    usual = LogLevels()
    assert Level.STATSD not in Levels.parse(usual.loglevels_db)
    assert Level.STDOUT not in Levels.parse(usual.loglevels_ac)
    assert str(Levels.parse(usual.loglevels)) == "*"


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 1001},
        {"cursor": "x"},
        {"cursor": "-1"},
        {"cursor": "9" * 30},
        {"levels": "99"},
        {"time_from": 2**63},
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((BadInput, msgspec.ValidationError)):
        msgspec.convert(wrong, MessageFilter)


def test_levels_of_a_filter_may_be_a_list_in_json() -> None:
    wanted = msgspec.json.decode(b'{"levels": [1, 2], "job_id": "j"}', type=MessageFilter)
    assert Levels.parse(wanted.levels).numbers == {1, 2}


def test_a_page_survives_the_wire_with_every_byte() -> None:
    message = Message(id=1, job_id="j", epoch=2, level=1, data="a\ufffd\0", raw=b"a\xff\0", marks=int(Mark.CRLF))
    page = MessagePage(messages=(message,), cursor="7")
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(page), type=MessagePage) == page
