"""A bounded cache: the least recently used values are removed first, by number and by size in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """A cache of at most `max_entries` values and `max_bytes` in total. The newest value stays whatever its size."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value for `key`, and mark it as the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, *, nbytes: int) -> None:
        """Store `value` of `nbytes`, and remove values that no longer fit."""
        _, replaced = self._entries.pop(key, (None, 0))
        self._entries[key] = (value, nbytes)
        self.nbytes += nbytes - replaced
        while len(self._entries) > 1 and (len(self._entries) > self._max_entries or self.nbytes > self._max_bytes):
            _, (_, freed) = self._entries.popitem(last=False)
            self.nbytes -= freed
