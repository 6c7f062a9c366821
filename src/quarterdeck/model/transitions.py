"""State machines as tables: which state may follow which, and the error when another is asked for."""

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
        """Whether `wanted` may follow `current`; staying in a state is always allowed."""
        return current == wanted or wanted in self.table[current]

    def check(self, current: S, wanted: S) -> S:
        """`wanted`, or `IllegalTransition` naming what would have been legal."""
        if self.allows(current, wanted):
            return wanted
        legal = ", ".join(sorted(self.table[current])) or "nothing (it is final)"
        raise IllegalTransition(f"{self.noun} is {current} and cannot become {wanted}; it can become {legal}.")
