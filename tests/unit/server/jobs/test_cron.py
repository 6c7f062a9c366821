from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.model.errors import BadInput
from quarterdeck.server.jobs.cron import parse

ZONES = ("UTC", "Europe/Brussels", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Africa/Cairo")


def following(line: str, after: str, count: int = 1, *, zone: str = "UTC") -> list[str]:
    """The next moments after a time, as they are told in the zone."""
    parsed, moment, found = parse(line, zone), datetime.fromisoformat(after).timestamp(), list[str]()
    for _ in range(count):
        moment = parsed.next_after(moment)
        found.append(datetime.fromtimestamp(moment, ZoneInfo(zone)).isoformat())
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("* * * * * *", "2026-11-21T13:00:01"),
        ("0 * * * * *", "2026-11-21T13:01:00"),
        ("*/20 30 * * * *", "2026-11-21T13:30:00"),
        ("7/20 0 13 * * ?", "2026-11-21T13:00:07"),
        ("0 0 13 * * *", "2026-11-22T13:00:00"),
        ("0 30 2 * * MON-FRI", "2026-11-23T02:30:00"),
        ("0 0 0 * * 7", "2026-11-22T00:00:00"),
        ("0 0 0 * * 0", "2026-11-22T00:00:00"),
        ("0 0 0 1 jan *", "2027-01-01T00:00:00"),
        ("0 0 0 31 * *", "2026-12-31T00:00:00"),
        ("0 0 0 29 FEB ?", "2028-02-29T00:00:00"),
        ("0 0 0 25 12 SUN", "2026-12-06T00:00:00"),
        ("0 0,15-45/15 8-10/2 * * *", "2026-11-22T08:00:00"),
    ],
)
def test_the_next_moment(line: str, expected: str) -> None:
    assert following(line, "2026-11-21T13:00:00+00:00") == [f"{expected}+00:00"]


@pytest.mark.parametrize(
    "line",
    [
        "", "* * * * *", "* * * * * * *", "60 * * * * *", "* * 24 * * *", "* * * 0 * *", "* * * 32 * *", "* * * * 13 *",
        "* * * * * 8", "5-1 * * * * *", "*/0 * * * * *", "? * * * * *", "1, * * * * *", "a * * * * *", "-1 * * * * *",
        "* * * * FEBRUARY *", "1/2/3 * * * * *", "99999999999 * * * * *", "²  * * * * *",
        "0 0 0 30 2 *", "0 0 0 31 APR,JUN,SEP,NOV ?",
    ],
)  # fmt: skip
def test_a_line_that_is_none_or_means_no_day_is_refused(line: str) -> None:
    with pytest.raises(BadInput):
        parse(line)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "a\0b", "Europe"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(BadInput, match="time zone"):
        parse("* * * * * *", zone)


@pytest.mark.parametrize(
    ("weekdays", "expected"),
    [
        ("MON-SUN", "0123456"), ("SUN-SAT", "0123456"), ("FRI-MON", "0156"), ("SAT-SUN", "06"), ("fri-sun", "056"),
        ("5-1", "0156"), ("5-7", "056"), ("6-0", "06"), ("0-7", "0123456"), ("7-7", "0"), ("7-1", "01"),
        ("SUN-SUN", "0"), ("FRI-TUE/2", "025"), ("SAT-SUN,WED", "036"), ("MON-SUN/2", "0135"),
    ],
)  # fmt: skip
def test_a_range_of_weekdays_may_go_over_the_end_of_the_week(weekdays: str, expected: str) -> None:
    assert parse(f"0 0 0 * * {weekdays}").weekdays == tuple(map(int, expected))


@pytest.mark.parametrize(
    ("months", "expected"), [("NOV-FEB", (1, 2, 11, 12)), ("11-2/2", (1, 11)), ("DEC-JAN", (1, 12))]
)
def test_a_range_of_months_may_go_over_the_end_of_the_year(months: str, expected: tuple[int, ...]) -> None:
    assert parse(f"0 0 0 1 {months} *").months == expected


@pytest.mark.parametrize(
    "line", ["5-1 * * * * *", "* 50-10 * * * *", "* * 22-4 * * *", "* * * 28-3 * *", "* * * * 13-2 *"]
)
def test_other_ranges_do_not_go_backwards(line: str) -> None:
    with pytest.raises(BadInput):
        parse(line)


def test_a_time_that_does_not_occur_is_taken_when_the_gap_ends() -> None:
    found = following("0 30 2 * * *", "2026-03-28T12:00:00+00:00", 2, zone="Europe/Brussels")
    assert found == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]


def test_a_time_that_occurs_twice_is_taken_once() -> None:
    found = following("0 30 2 * * *", "2026-10-24T12:00:00+00:00", 2, zone="Europe/Brussels")
    assert found == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


def test_every_half_hour_is_every_half_hour_whatever_clocks_do() -> None:
    for night in ("2026-03-28T23:10:00+00:00", "2026-10-24T22:10:00+00:00"):
        times = following("0 */30 * * * *", night, 12, zone="Europe/Brussels")
        stamps = [datetime.fromisoformat(time).timestamp() for time in times]
        assert [later - earlier for earlier, later in pairwise(stamps)] == [1800.0] * 11


def test_leap_day_is_found_over_the_year_2100() -> None:
    assert following("0 0 0 29 2 *", "2096-03-01T00:00:00+00:00") == ["2104-02-29T00:00:00+00:00"]


def field(first: int, last: int) -> st.SearchStrategy[str]:
    number = st.integers(first, last).map(str)
    return st.one_of(
        st.just("*"),
        number,
        st.lists(number, min_size=1, max_size=3).map(",".join),
        st.integers(1, 9).map(lambda step: f"*/{step}"),
    )


LINES = st.tuples(field(0, 59), field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7)).map(" ".join)
MOMENTS = st.integers(1_500_000_000, 2_200_000_000)


@given(LINES, MOMENTS, st.sampled_from(ZONES))
def test_the_next_moment_is_later_and_none_lies_between(line: str, moment: int, zone: str) -> None:
    parsed = parse(line, zone)
    found = parsed.next_after(moment)
    assert found > moment
    assert found == int(found)
    assert parsed.next_after(found - 1) == found
    between = moment + (found - moment) // 2
    assert parsed.next_after(between) == (found if between < found else parsed.next_after(found))


@given(LINES, MOMENTS)
def test_in_utc_it_is_the_first_second_that_matches(line: str, moment: int) -> None:
    parsed = parse(line)
    time = datetime.fromtimestamp(parsed.next_after(moment), UTC)
    assert time.second in parsed.seconds
    assert time.minute in parsed.minutes
    assert time.hour in parsed.hours
    assert time.month in parsed.months
    for second in range(1, min(500, int(time.timestamp() - moment))):
        earlier = datetime.fromtimestamp(moment + second, UTC)
        day = (
            parsed.days is None or earlier.day in parsed.days,
            parsed.weekdays is None or earlier.isoweekday() % 7 in parsed.weekdays,
        )
        both = parsed.days is not None and parsed.weekdays is not None
        assert not (
            earlier.second in parsed.seconds
            and earlier.minute in parsed.minutes
            and earlier.hour in parsed.hours
            and earlier.month in parsed.months
            and (any(day) if both else all(day))
        )


@given(st.text(max_size=40))
def test_any_text_is_a_line_or_bad_input(text: str) -> None:
    try:
        parsed = parse(text)
    except BadInput:
        return
    assert parsed.next_after(0) <= timedelta(days=9 * 366).total_seconds()
