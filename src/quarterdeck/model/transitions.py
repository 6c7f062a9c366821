"""State machines as tables: the states that may follow each state, and the error for any other transition."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from quarterdeck.model.errors import IllegalTransition

S = TypeVar("S", bound=StrEnum)


class Transitions(Generic[S]):
    """The transition table of one noun. `table[a]` is the set of states that may follow `a`."""

    def __init__(self, noun: str, table: Mapping[S, frozenset[S]]) -> None:
        self.noun = noun
        self.table = dict(table)

    def allows(self, current: S, wanted: S) -> bool:
        """Return whether `wanted` may follow `current`; staying in a state is always allowed."""
        return current == wanted or wanted in self.table[current]

    def check(self, current: S, wanted: S) -> S:
        """Return `wanted`. Raise `IllegalTransition` with the legal states when it may not follow `current`."""
        if self.allows(current, wanted):
            return wanted
        legal = ", ".join(sorted(self.table[current])) or "nothing (it is final)"
        raise IllegalTransition(f"{self.noun} is {current} and cannot become {wanted}; it can become {legal}.")
