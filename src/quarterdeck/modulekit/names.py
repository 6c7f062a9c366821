"""Suggestions for unknown names. This module owns the wording that all checks share."""

from __future__ import annotations

from collections.abc import Iterable

from quarterdeck.kit import names as kit_names
from quarterdeck.kit.names import did_you_mean

_LISTED = 8  # number of names that are listed when none is similar


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Return a sentence with the most similar of the known names, or else a list of them."""
    names = sorted(set(known))
    if not names:
        return "There is none."
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = f"There is: {', '.join(names[:_LISTED])}{more}."
    return did_you_mean(kit_names.nearest(wrong, names, most=1), otherwise=listed, quote="'")
