"""A record of the messages that a full store evicted: their sources, how many they were, and up to which place.

Owns a small file that holds the most recent evictions, so that answers can mention them. If the file is damaged, only
this information is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from quarterdeck.agent.messages.runs import Source
from quarterdeck.kit.files import write_private
from quarterdeck.model.messages import MessageFilter
from quarterdeck.model.moments import utc
from quarterdeck.model.struct import Wire

#: at most this many evictions are remembered, the most recent ones
KNOWN = 1000

log = logging.getLogger(__name__)


class Evicted(Wire, frozen=True, kw_only=True):
    """The oldest messages of one source, which were evicted."""

    job_id: str
    domain: str = ""
    name: str = ""
    rows: int
    place: int  #: the place of the last of them
    epoch: int  #: the time of the last of them, in milliseconds since the epoch

    @property
    def source(self) -> Source:
        """Return the source that they belonged to."""
        return Source(self.job_id, self.domain, self.name)

    def concerns(self, wanted: MessageFilter, *, more: bool) -> bool:
        """Return whether an answer would contain some of them. `more`: the answer continues on another page."""
        if not self.source.may_match(wanted) or (wanted.time_from is not None and self.epoch < wanted.time_from):
            return False
        return not more if wanted.newest_first else int(wanted.cursor or 0) < self.place


class EvictionRecord:
    """Owns the file at `path`. One thread adds; others may read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = {each.source: each for each in self._load()}

    def add(self, evicted: Iterable[Evicted]) -> None:
        """Record that these messages were evicted too."""
        known = dict(self._known)
        for each in evicted:
            before = known.pop(each.source, None)
            known[each.source] = each if before is None else msgspec.structs.replace(each, rows=before.rows + each.rows)
        self._known = dict(list(known.items())[-KNOWN:])
        try:
            write_private(self._path, msgspec.msgpack.encode(tuple(self._known.values())))
        except OSError as error:
            log.warning("evictions could not be recorded in %s: %s", self._path, error)

    def words(self, wanted: MessageFilter, *, more: bool) -> list[str]:
        """Return the sentences about evicted messages to add to an answer."""
        found = [each for each in self._known.values() if each.concerns(wanted, more=more)]
        if not found:
            return []
        rows, last = sum(each.rows for each in found), max(each.epoch for each in found)
        whose = found[0].job_id if len(found) == 1 else f"{len(found)} jobs and services"
        return [
            f"{rows:,} older messages of {whose}, up to {utc(last / 1000)}, were evicted: the node's store was full."
        ]

    def _load(self) -> Sequence[Evicted]:
        try:
            return msgspec.msgpack.decode(self._path.read_bytes(), type=tuple[Evicted, ...])
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("%s is damaged; earlier evictions are unknown: %s", self._path, error)
            return ()
