"""Cron lines of six fields: parsing, and the times that they match. Pure: no clock, no I/O.

    second  minute  hour  day-of-month  month  day-of-week

A field is `*`, a number, a name (`JAN`…`DEC`, `SUN`…`SAT`), a range `a-b`, each of them with a step (`*/5`, `10-40/10`;
`7/5` counts from 7 to the field's end), or a list of these with commas. Sunday is 0 and 7. A range of months or of days
of the week may wrap around (`NOV-FEB`, `FRI-MON`, `MON-SUN`). `?` is the same as `*` in the two day fields. When
neither day field is `*`, a day matches if either field matches it.

Where clocks are turned forward, a time that does not occur is replaced by the minute at which the gap ends; where they
are turned back, a time that occurs twice matches only the first time. With `*` as its hour, a line matches absolute
times instead of times of the day: a time that does not occur is left out, one that occurs twice matches twice.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from quarterdeck.model.errors import BadInput

#: February 29 can be eight years in the future (2096 to 2104); days that are searched for the next time
SEARCH_DAYS = 9 * 366
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
#: the longest a month can be
_LONGEST = {month: calendar.monthrange(2096, month)[1] for month in range(1, 13)}
#: digits of a number in a field
_DIGITS = 4


class _Field(NamedTuple):
    name: str
    first: int
    last: int
    names: Mapping[str, int]
    round: int = 0  #: the number of values after which it wraps around; 0: ranges do not wrap around


_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if number}
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
_FIELDS = (
    _Field("second", 0, 59, {}),
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS, round=12),
    _Field("day of week", 0, 7, _WEEKDAYS, round=7),
)
_EVERY = ("*", "?")


class Cron(NamedTuple):
    """A parsed line. Each field has the sorted numbers that match."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...] | None  #: None: `*`
    months: tuple[int, ...]
    weekdays: tuple[int, ...] | None  #: None: `*`; 0 is Sunday
    moments: bool  #: the hour is `*`
    zone: ZoneInfo

    def next_after(self, moment: float) -> float:
        """Return the first matching time after `moment`, both in seconds since the epoch."""
        after = datetime.fromtimestamp(moment, UTC)
        day = after.astimezone(self.zone).date()
        for _ in range(SEARCH_DAYS):
            if self._means(day):
                found = next((each for each in self._of_day(day, after) if each > after), None)
                if found is not None:
                    return found.timestamp()
            day += _DAY
        raise BadInput("The cron line matches no time within nine years.")

    def _means(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month = self.days is None or day.day in self.days
        of_week = self.weekdays is None or day.isoweekday() % 7 in self.weekdays
        both_say = self.days is not None and self.weekdays is not None
        return of_month or of_week if both_say else of_month and of_week

    def _of_day(self, day: date, after: datetime) -> Iterator[datetime]:
        """Yield the matching times of a day in their order, without those long before `after`."""
        midnight = datetime.combine(day, time(), self.zone)
        turned = midnight.utcoffset() != (midnight + _DAY).utcoffset()
        for minute in self._turned_minutes(day) if turned else self._minutes(midnight.astimezone(UTC), after):
            yield from (minute + timedelta(seconds=second) for second in self.seconds)

    def _minutes(self, midnight: datetime, after: datetime) -> Iterator[datetime]:
        for hour in self.hours:
            start = midnight + timedelta(hours=hour)
            if start + _HOUR > after:
                yield from (start + timedelta(minutes=minute) for minute in self.minutes)

    def _turned_minutes(self, day: date) -> list[datetime]:
        """Return the minutes of a day on which clocks are turned."""
        walls = (datetime.combine(day, time(hour, minute), self.zone) for hour in self.hours for minute in self.minutes)
        return sorted({moment for wall in walls for moment in self._occurrences(wall)})

    def _occurrences(self, wall: datetime) -> Iterator[datetime]:
        first, second = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        if first > second:  # in a gap
            if not self.moments:
                yield _gap_end(second, first, self.zone)
            return
        yield first
        if self.moments:
            yield second


def parse(text: str, zone: str = "UTC") -> Cron:
    """Parse a line. Raise `BadInput` when a field is wrong or no matching day exists."""
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise BadInput(
            f"Expected a cron line of six fields, found {len(parts)} in '{text[:200]}'.",
            hint="second minute hour day-of-month month day-of-week, such as '0 30 2 * * *' for 02:30:00 every day.",
        )
    found = [_read(part, field) for part, field in zip(parts, _FIELDS, strict=True)]
    days, months, weekdays = found[3], found[4], sorted({number % 7 for number in found[5]})
    any_day, any_weekday = parts[3] in _EVERY, parts[5] in _EVERY
    if any_weekday and not any(day <= _LONGEST[month] for month in months for day in days):
        raise BadInput(f"The cron line '{text[:200]}' matches only days that do not exist.")
    return Cron(
        seconds=tuple(found[0]),
        minutes=tuple(found[1]),
        hours=tuple(found[2]),
        days=None if any_day else tuple(days),
        months=tuple(months),
        weekdays=None if any_weekday else tuple(weekdays),
        moments=parts[2] == "*",
        zone=_zone(zone),
    )


def _read(text: str, field: _Field) -> list[int]:
    if text == "?" and not field.name.startswith("day"):
        raise _wrong(text, field)
    numbers: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, field, {}) if slash else 1
        if step < 1:
            raise _wrong(part, field)
        numbers.update(range(*_span(span, field, open_ended=bool(slash)), step))
    return sorted({number - field.round if number > field.last else number for number in numbers})


def _span(text: str, field: _Field, *, open_ended: bool) -> tuple[int, int]:
    """Return the first number of a range, and the one after its last."""
    if text in _EVERY:
        return field.first, field.last + 1
    low_text, dash, high_text = text.partition("-")
    low = _number(low_text, field, field.names)
    high = _number(high_text, field, field.names) if dash else field.last if open_ended else low
    if not (field.first <= low <= field.last and field.first <= high <= field.last):
        raise _wrong(text, field)
    if high < low:
        high += field.round
    if high < low:
        raise _wrong(text, field)
    return low, high + 1


def _number(text: str, field: _Field, names: Mapping[str, int]) -> int:
    if text.upper() in names:
        return names[text.upper()]
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise _wrong(text, field)
    return int(text)


def _wrong(text: str, field: _Field) -> BadInput:
    return BadInput(
        f"'{text[:50]}' is not a valid {field.name} of a cron line.",
        hint=f"Expected *, {field.first} to {field.last}"
        + (f" or {', '.join(field.names)}" if field.names else "")
        + ", ranges (1-5), steps (*/5) and lists (1,3).",
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(
            f"There is no time zone '{name[:100]}'.", hint="Use a name such as UTC or Europe/Brussels."
        ) from error


def _gap_end(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the first minute after clocks were turned forward, which happened between `before` and `after`."""
    offset = before.astimezone(zone).utcoffset()
    low, high = 0, int((after - before) / _MINUTE)
    while low < high:
        middle = (low + high) // 2
        if (before + middle * _MINUTE).astimezone(zone).utcoffset() == offset:
            low = middle + 1
        else:
            high = middle
    return before + low * _MINUTE
