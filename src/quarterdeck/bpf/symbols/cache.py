"""A bounded memory of what was read: the least recently used goes first, by count and by weight in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """At most `max_entries` values of together at most `max_bytes`; the newest one stays whatever it weighs."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value kept for `key`, which is now the last to go."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, *, nbytes: int) -> None:
        """Keep `value`, which takes `nbytes`, and drop what no longer fits."""
        _, replaced = self._entries.pop(key, (None, 0))
        self._entries[key] = (value, nbytes)
        self.nbytes += nbytes - replaced
        while len(self._entries) > 1 and (len(self._entries) > self._max_entries or self.nbytes > self._max_bytes):
            _, (_, freed) = self._entries.popitem(last=False)
            self.nbytes -= freed
