"""Runs: messages of one process that were read together, as columns, and the levels that decide where they go.

A run is what the store inserts and what is forwarded; nothing on this way makes an object of a single message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Self

from quarterdeck.agent.messages.lines import Lines
from quarterdeck.model.messages import Levels, LogLevels, MessageFilter

#: memory that a message takes in addition to its text
ENTRY_BYTES = 120


@dataclass(frozen=True, slots=True)
class Source:
    """The process that messages belong to."""

    job_id: str
    domain: str = ""
    name: str = ""

    def may_match(self, wanted: MessageFilter) -> bool:
        """Return whether messages of this run can be among these."""
        named = ((wanted.job_id, self.job_id), (wanted.domain, self.domain), (wanted.name, self.name))
        return all(want is None or want == have for want, have in named)


@dataclass(frozen=True, slots=True)
class Run:
    """Messages of one source that came at one time. Entry i of each sequence belongs to message i."""

    source: Source
    epoch_ms: int
    levels: Sequence[int]
    texts: Sequence[bytes]
    marks: Sequence[int]
    ids: Sequence[int] = ()  #: the node's numbers; empty until the log assigned them

    @classmethod
    def of(cls, source: Source, lines: Lines, *, epoch_ms: int) -> Self:
        """Return a run of what a parser has found."""
        return cls(source, epoch_ms, lines.levels, lines.texts, lines.marks)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def size_bytes(self) -> int:
        """Return how many bytes the run takes in memory."""
        return sum(map(len, self.texts)) + ENTRY_BYTES * len(self.texts)

    def only(self, levels: Levels) -> Run:
        """Return the messages of these levels; the run itself when it has no others."""
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
        """Return the same messages with the node's numbers."""
        return Run(self.source, self.epoch_ms, self.levels, self.texts, self.marks, ids)


@dataclass(frozen=True, slots=True)
class Routing:
    """The levels of a process' messages that are processed, kept on the node, and forwarded."""

    processed: Levels
    kept: Levels
    forwarded: Levels

    @classmethod
    def of(cls, levels: LogLevels) -> Self:
        """Return the routing that a command's arguments describe. Raise `BadInput` when they are no sets of levels."""
        return cls(*map(Levels.parse, (levels.loglevels, levels.loglevels_db, levels.loglevels_ac)))
