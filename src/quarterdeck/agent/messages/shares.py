"""Decides which sources of a full store lose messages: each has a share, and those above it lose first.

A share is a small part of the store, so that many sources have one. The largest sources over their share give their
oldest messages until there is room; none is brought below its share. It decides only; `eviction` removes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from quarterdeck.agent.messages.runs import Source

#: the part of a store that each source may hold before it gives up messages for others
SHARE = 0.02


def choose(files: Sequence[Mapping[Source, int]], *, need: int, share: int) -> list[dict[Source, int]]:
    """Return how many bytes of which sources to take from each file, oldest first, to free `need` bytes if possible.

    `files`: how many bytes each file holds of the sources that may be over their share.
    """
    held = Counter[Source]()
    for sizes in files:
        held.update(sizes)
    level = _level(held, need=need, share=share)
    over = {source: size - share for source, size in held.items() if size > level}
    chosen: list[dict[Source, int]] = []
    for sizes in files:
        going = {source: min(size, over[source]) for source, size in sizes.items() if over.get(source) and need > 0}
        over |= {source: over[source] - size for source, size in going.items()}
        need -= sum(going.values())
        chosen.append(going)
    return chosen


def _level(held: Mapping[Source, int], *, need: int, share: int) -> int:
    """Return the size, at least the share, to which the largest sources come down to free just what is needed."""
    sizes = sorted((size for size in held.values() if size > share), reverse=True)
    given = 0
    for count, size in enumerate(sizes, 1):
        given += size
        level = (given - need) // count
        if level >= (sizes[count] if count < len(sizes) else share):
            return level
    return share
