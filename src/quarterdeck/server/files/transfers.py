"""Progress of files to nodes and from nodes, shown to users who wait for them.

It is kept in memory only, and no transfer depends on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from quarterdeck.model.files import Transfer
from quarterdeck.model.nodes import AgentIdentity

TransferList = list[Transfer]
#: for how long a transfer is shown after its last bytes
SHOWN_S = 30.0
#: transfers that are kept: those that moved last
LIMIT = 10_000


class Transfers:
    """The transfers that moved recently."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._moved: dict[tuple[int, int, str, bool], Transfer] = {}  # in the order of their last bytes

    def note(self, agent: AgentIdentity, sha256: str, *, at: int, size: int, to_node: bool) -> None:
        """Record that the first `at` of `size` bytes are transferred."""
        key = (agent.gid, agent.nid, sha256, to_node)
        self._moved.pop(key, None)
        self._moved[key] = Transfer(
            gid=agent.gid, nid=agent.nid, sha256=sha256, to_node=to_node, at=at, size=size, moved_at=self._clock()
        )
        if len(self._moved) > LIMIT:
            del self._moved[next(iter(self._moved))]

    def list(self) -> TransferList:
        """Return the transfers that moved recently, including complete ones."""
        since = self._clock() - SHOWN_S
        self._moved = {key: transfer for key, transfer in self._moved.items() if transfer.moved_at >= since}
        return list(self._moved.values())
