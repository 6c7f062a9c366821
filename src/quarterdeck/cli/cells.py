"""Values of cells: one type for each kind of value that people and programs read differently.

A table shows `words`, such as "3h12m" or "1.4 MiB"; CSV has `exact`, such as a time in ISO 8601 or a number of bytes.
A cell that is none of these types is its text in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from quarterdeck.cli import output


class Cell:
    """A value with one form for people and one for programs."""

    def words(self, *, utc: bool) -> str:
        """Return the form for people; times are in the time zone of the terminal unless `utc`."""
        raise NotImplementedError

    def exact(self) -> str:
        """Return the form for programs."""
        raise NotImplementedError


@dataclass(frozen=True)
class Moment(Cell):
    """A point in time, in seconds since the epoch."""

    at: float | None
    otherwise: str = ""  #: what stands for none

    def words(self, *, utc: bool) -> str:
        return output.moment(self.at, utc=utc) or self.otherwise

    def exact(self) -> str:
        return _iso(self.at)


@dataclass(frozen=True)
class Age(Cell):
    """The time since a moment; `at` is in seconds since the epoch."""

    at: float | None
    otherwise: str = "never"
    ago: bool = False  #: followed by "ago"

    def words(self, *, utc: bool) -> str:  # noqa: ARG002
        return f"{output.age(self.at)}{' ago' if self.ago else ''}" if self.at else self.otherwise

    def exact(self) -> str:
        return _iso(self.at)


@dataclass(frozen=True)
class Deadline(Cell):
    """The time that is left until a moment, or that it is over."""

    at: float | None
    otherwise: str = "never"

    def words(self, *, utc: bool) -> str:  # noqa: ARG002
        return output.left(self.at) if self.at else self.otherwise

    def exact(self) -> str:
        return _iso(self.at)


@dataclass(frozen=True)
class Size(Cell):
    """A number of bytes."""

    bytes: float

    def words(self, *, utc: bool) -> str:  # noqa: ARG002
        return output.size(self.bytes)

    def exact(self) -> str:
        return f"{self.bytes:g}" if isinstance(self.bytes, float) else str(self.bytes)


@dataclass(frozen=True)
class Count(Cell):
    """A number, with its thousands apart for people."""

    number: int

    def words(self, *, utc: bool) -> str:  # noqa: ARG002
        return f"{self.number:,}"

    def exact(self) -> str:
        return str(self.number)


@dataclass(frozen=True)
class Long(Cell):
    """A text that a table on a terminal may shorten, since the item's other columns say which it is."""

    text: str

    def words(self, *, utc: bool) -> str:  # noqa: ARG002
        return " ".join(self.text.split())

    def exact(self) -> str:
        return self.text


def words(value: object, *, utc: bool) -> str:
    """Return the text of any value as a table shows it."""
    return value.words(utc=utc) if isinstance(value, Cell) else "" if value is None else str(value)


def exact(value: object) -> str:
    """Return the text of any value as CSV has it."""
    return value.exact() if isinstance(value, Cell) else "" if value is None else str(value)


def _iso(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if at else ""
