"""The nearest of the names that are known to one that is not. Owns the question that offers them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: the most names that a hint offers
OFFERED = 3


def nearest(wrong: str, known: Iterable[str], *, most: int = OFFERED, cutoff: float = 0.6) -> list[str]:
    """Return the known names that `wrong` may have meant, the nearest first; `cutoff` is the similarity, 0 to 1."""
    return difflib.get_close_matches(wrong, sorted(set(known)), n=most, cutoff=cutoff)


def did_you_mean(near: Iterable[str], *, otherwise: str, quote: str = "") -> str:
    """Return a question that offers these names, or `otherwise` when there are none."""
    offered = [f"{quote}{name}{quote}" for name in near]
    return f"Did you mean {' or '.join(offered)}?" if offered else otherwise
