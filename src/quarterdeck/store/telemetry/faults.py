"""Translates the engine's errors: its error numbers become errors of `model/errors`, with shortened messages.

Owns the list of the engine's error numbers that matter. It never runs anything.
"""

from __future__ import annotations

import re

from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.exceptions import OperationalError, StreamFailureError

from quarterdeck.model.disk import NO_ROOM
from quarterdeck.model.errors import BadQuery, QuarterdeckError, StorageFull, TimedOut, TooLarge, Unavailable

_FULL_RETRY_S = 5.0
#: numbers of the engine's ErrorCodes
_TIME = frozenset({159, 160, 394})  # TIMEOUT_EXCEEDED, TOO_SLOW, QUERY_WAS_CANCELLED
_SIZE = frozenset({158, 241, 396})  # TOO_MANY_ROWS, MEMORY_LIMIT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES
_FULL = frozenset({243})  # NOT_ENOUGH_SPACE
_BUSY = frozenset({202, 242, 252, 999})  # TOO_MANY_SIMULTANEOUS_QUERIES, TABLE_IS_READ_ONLY, TOO_MANY_PARTS, KEEPER

_NOISE = re.compile(
    r"Received ClickHouse exception, code: \d+, server response: |(Code: \d+\. DB::Exception: )+"
    r"|\s*\(for url [^)]*\)|\s*\(version [^)]*\)"
)
_NAME = re.compile(r"(\s*\([A-Z][A-Z0-9_]+\)[.\s]*)+$")
_SCOPE = re.compile(r"[.:]?\s*(In scope |: While |while executing |: In query ).*", re.DOTALL)
_EXPECTED = re.compile(r"(Expected one of: )(.*)", re.DOTALL)
_EXPECTATIONS = 8  # how many of the parser's expected tokens are shown


def full(error: BaseException) -> bool:
    """Return whether the error means that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    return _number(error) in _FULL or "No space left on device" in str(error) or "Disk quota exceeded" in str(error)


def as_query_fault(error: DriverError) -> QuarterdeckError:
    """Return the error for the client that sent the query."""
    number = _number(error)
    if number in _TIME:
        return TimedOut("The query took longer than its time limit and was stopped.", hint="Read less, or allow more.")
    if number in _SIZE:
        return TooLarge(f"The query exceeds its limits: {words(error)}", hint="Read fewer rows or columns.")
    if full(error):
        return StorageFull()
    if number is None and isinstance(error, OperationalError) and not isinstance(error, StreamFailureError):
        return Unavailable(f"The telemetry store cannot be reached: {error}")
    if number in _BUSY:
        return Unavailable(f"The telemetry store is busy: {words(error)}")
    return BadQuery(words(error))


def as_store_fault(error: BaseException) -> QuarterdeckError:
    """Return the error for the caller that stores. All errors are temporary, except those about the rows themselves."""
    if full(error):
        fault = StorageFull()
        fault.retry_after_s = _FULL_RETRY_S
        return fault
    number = _number(error)
    if number is None or number in _TIME | _SIZE | _BUSY:
        return Unavailable(f"The telemetry store does not accept rows now: {words(error)}")
    return BadQuery(words(error))


def as_insert_fault(error: BaseException) -> QuarterdeckError:
    """Translate an error of an insert: when memory is lacking for all rows, fewer at a time may succeed."""
    if _number(error) in _SIZE:
        return TooLarge(f"The telemetry store does not have enough memory for so many rows at a time: {words(error)}")
    return as_store_fault(error)


def words(error: BaseException) -> str:
    """Return the engine's message without numbers, versions, and the repeated query."""
    text = " ".join(_SCOPE.sub("", _NAME.sub("", _NOISE.sub("", str(error)))).split())
    expected = _EXPECTED.search(text)
    if expected:
        options = expected[2].split(", ")
        more = ", …" if len(options) > _EXPECTATIONS else ""
        text = text[: expected.start(2)] + ", ".join(options[:_EXPECTATIONS]).rstrip(".") + more
    return text.rstrip(".: ") + "."


def _number(error: BaseException) -> int | None:
    return getattr(error, "code", None)
