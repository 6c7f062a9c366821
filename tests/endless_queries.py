"""Queries that run for hours, and how many of them run in the engine now."""

from __future__ import annotations

from quarterdeck.store.telemetry.clickhouse import TelemetryStore


def endless(number: int = 0) -> str:
    """Return a query that does not end by itself; the number tells it from others."""
    return f"SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number, {number}) = 1"


def running(store: TelemetryStore, number: int = 0) -> int:
    """Return how often the query with this number runs. The statement with which the store parses it does not count."""
    begins_with_it = f"query LIKE 'SELECT count()%sipHash64(number, {number})%'"
    return len(store._rows(f"SELECT 1 FROM system.processes WHERE {begins_with_it}"))
