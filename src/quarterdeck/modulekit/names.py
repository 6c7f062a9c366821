"""Names that do not exist, and those their author may have meant. Owns the wording that every check shares."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 8  # names listed when none is near


def nearest(wrong: str, known: Iterable[str]) -> str:
    """A sentence about the known names: the nearest one, or else a list of them."""
    names = sorted(set(known))
    if not names:
        return "There is none."
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{near[0]}'?"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"There is: {', '.join(names[:_SHOWN])}{more}."
