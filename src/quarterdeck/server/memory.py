"""Memory limits of the stores and queries of this server, derived from the memory of its process.

The configuration sets the wanted limits; a small machine, or a cgroup with a limit, reduces them. It measures once,
when the server starts, and never reserves memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from quarterdeck.model.config import ServerConfig
from quarterdeck.model.struct import Struct
from quarterdeck.store.telemetry.batches import LIMIT_BYTES

_CGROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60  # the kernel reports about 2^63 where no limit is set
_STORE_SHARE = 0.3  # of the memory of the process; the server itself and answers being sent need the rest
_QUERY_SHARE = 0.75  # of the store's: a query alone must not stop inserts
_INSERT_SHARE = 16  # an insert takes ten times the memory of its rows in the engine
_ANSWER_SHARE = 64  # as text it is up to four times as large, and it is copied when it is sent
_ANSWERS_SHARE = 32  # each running query may add one more answer
_ANSWER_LIMIT_BYTES = 128 * 1024 * 1024


class Memory(Struct, frozen=True, kw_only=True):
    """The limit of each use, in bytes."""

    store_bytes: int  #: the whole embedded engine
    query_bytes: int  #: one query
    answer_bytes: int  #: the values of one answer
    answers_bytes: int  #: all answers that wait to be read, in the form in which they are sent
    insert_bytes: int  #: the rows of one insert

    @classmethod
    def of(cls, config: ServerConfig, available_bytes: int) -> Memory:
        """Return the limits of the configuration, reduced to what the process may have."""
        store = min(config.store_memory_bytes, int(available_bytes * _STORE_SHARE))
        query = (
            config.query_memory_bytes
            if config.telemetry_url
            else min(config.query_memory_bytes, int(store * _QUERY_SHARE))
        )
        return cls(
            store_bytes=store,
            query_bytes=query,
            answer_bytes=min(_ANSWER_LIMIT_BYTES, query, available_bytes // _ANSWER_SHARE),
            answers_bytes=available_bytes // _ANSWERS_SHARE,
            insert_bytes=LIMIT_BYTES if config.telemetry_url else min(LIMIT_BYTES, store // _INSERT_SHARE),
        )


def available_bytes(cgroups: Path = _CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Return the memory this process may have: the machine's, or less where one of its cgroups has a limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, *_limits(cgroups, membership), _UNLIMITED)


def _limits(cgroups: Path, membership: Path) -> Iterator[int]:
    """Yield the limits of the cgroups that contain the process, of both versions, up to the root."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # no cgroups on this system
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _on_the_way(cgroups, path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _on_the_way(cgroups / "memory", path, "memory.limit_in_bytes")


def _on_the_way(root: Path, path: str, name: str) -> Iterator[int]:
    folder = root / path.lstrip("/")
    for each in (folder, *folder.parents):
        with suppress(OSError, ValueError):  # the file is missing, or contains "max"
            yield int((each / name).read_text())
        if each == root:
            return
