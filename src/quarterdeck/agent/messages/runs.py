"""Runs: messages of one process that were read together, as columns, and which of them go where.

A run is what the store inserts and what is forwarded; nothing on this way makes an object of a single message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Self

from quarterdeck.agent.messages.lines import Lines
from quarterdeck.model.messages import Levels, LogLevels

#: what a message weighs in memory beside its text
ENTRY_BYTES = 120


@dataclass(frozen=True, slots=True)
class Source:
    """Whose messages they are."""

    job_id: str
    domain: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """Messages of one source that came at one time. Entry i of each sequence belongs to message i."""

    source: Source
    epoch_ms: int
    levels: Sequence[int]
    texts: Sequence[bytes]
    marks: Sequence[int]
    ids: Sequence[int] = ()  #: the node's numbers; none until the log gave them

    @classmethod
    def of(cls, source: Source, lines: Lines, *, epoch_ms: int) -> Self:
        """What a parser found just now."""
        return cls(source, epoch_ms, lines.levels, lines.texts, lines.marks)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return sum(map(len, self.texts)) + ENTRY_BYTES * len(self.texts)

    def only(self, levels: Levels) -> Run:
        """The messages of these levels; the same run when it has no other."""
        if levels.numbers.issuperset(self.levels):
            return self
        kept = [level in levels.numbers for level in self.levels]
        return Run(
            self.source,
            self.epoch_ms,
            list(compress(self.levels, kept)),
            list(compress(self.texts, kept)),
            list(compress(self.marks, kept)),
            list(compress(self.ids, kept)),
        )

    def numbered(self, ids: Sequence[int]) -> Run:
        """The same messages with the node's numbers."""
        return Run(self.source, self.epoch_ms, self.levels, self.texts, self.marks, ids)


@dataclass(frozen=True, slots=True)
class Routing:
    """Which of a process' messages are processed, kept on the node, and forwarded."""

    processed: Levels
    kept: Levels
    forwarded: Levels

    @classmethod
    def of(cls, levels: LogLevels) -> Self:
        """As a command's arguments say. `BadInput` when they are no sets of levels."""
        return cls(*map(Levels.parse, (levels.loglevels, levels.loglevels_db, levels.loglevels_ac)))
