"""The engine's errors as ours, with short messages."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from quarterdeck.model.errors import BadQuery, QuarterdeckError, StorageFull, TimedOut, TooLarge, Unavailable
from quarterdeck.store.telemetry.faults import as_query_fault, as_store_fault, words

SYNTAX = (
    "Code: 62. DB::Exception: Syntax error: failed at position 8 (form): form t. Expected one of: a, b, c, d, e, f, g, "
    "h, i, j: In scope SELECT 1. (SYNTAX_ERROR) (version 26.9.2.1)"
)
UNKNOWN = (
    "Received ClickHouse exception, code: 47, server response: Code: 47. DB::Exception: Unknown identifier `x`. "
    "In scope SELECT x. (UNKNOWN_IDENTIFIER) (version 26.9.2.1 (official build)) (for url http://127.0.0.1:1)"
)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (SYNTAX, "Syntax error: failed at position 8 (form): form t. Expected one of: a, b, c, d, e, f, g, h, …."),
        (
            UNKNOWN,
            "Unknown identifier `x`.",
        ),
        (
            "Code: 241. DB::Exception: Code: 241. DB::Exception: Too much\n memory (X_Y) (version 1). (X_Y)",
            "Too much memory.",
        ),
    ],
)
def test_messages_of_the_engine_are_shortened(message: str, said: str) -> None:
    assert words(DatabaseError(message)) == said


@pytest.mark.parametrize(
    ("error", "asked", "stored"),
    [
        (DatabaseError("x", code=159), TimedOut, Unavailable),
        (DatabaseError("x", code=241), TooLarge, Unavailable),
        (DatabaseError("x", code=243), StorageFull, StorageFull),
        (DatabaseError("write: No space left on device", code=75), StorageFull, StorageFull),
        (DatabaseError("x", code=252), Unavailable, Unavailable),
        (DatabaseError("x", code=53), BadQuery, BadQuery),
        (OperationalError("connection refused"), Unavailable, Unavailable),
    ],
)
def test_errors_of_the_engine_become_ours(
    error: DatabaseError, asked: type[QuarterdeckError], stored: type[QuarterdeckError]
) -> None:
    assert (type(as_query_fault(error)), type(as_store_fault(error))) == (asked, stored)


def test_a_full_disk_beside_the_engine() -> None:
    assert isinstance(as_store_fault(OSError(28, "No space left on device")), StorageFull)
