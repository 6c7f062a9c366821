"""Patterns for names, as a shell has them: `*`, `?` and `[abc]`. Upper and lower case differ on every system."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def matches(name: str, pattern: str) -> bool:
    """Return whether the whole name matches the pattern."""
    return fnmatchcase(name, pattern)


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Return whether the whole name matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
