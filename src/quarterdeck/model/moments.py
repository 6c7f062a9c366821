"""Times in readable form."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(moment: float) -> str:
    """Return seconds since the epoch in the form "2026-11-21 10:00:00 UTC"."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
