"""Pacing: the reads of one follower of a command, which make its programs wait when it is far behind.

Owns the follower's number, and the nodes that were asked with it, which are notified when it leaves. It never stops a
program: the agent does (`agent/messages/pacing.py`).
"""

from __future__ import annotations

import itertools

from quarterdeck.model.messages import MessageFilter, MessagePage
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.messages.links import MessageLinks

#: unique over all sessions of this server
_numbers = itertools.count(1)


class Paced:
    """Reads nodes' messages for one follower, until it leaves."""

    def __init__(self, links: MessageLinks) -> None:
        self._links = links
        self._number = next(_numbers)
        self._asked: set[NodeKey] = set()

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage:
        """Return the next page of the node's messages."""
        self._asked.add(key)
        return await self._links.ask(key, wanted, wait_s, follower=self._number)

    def leave(self) -> None:
        """Notify the nodes that the follower has left, so that no program waits for it."""
        for key in self._asked:
            self._links.leave(key, self._number)
