"""Messages of the fleet: what processes printed, as the nodes have it.

Asks nodes over their live sessions; nothing of it is kept here.
"""

from __future__ import annotations

from quarterdeck.model.messages import MessageFilter, MessagePage
from quarterdeck.server.links import Links
from quarterdeck.store.state.nodes import NodeKey


class Messages:
    """Finds messages."""

    def __init__(self, *, links: Links) -> None:
        self._links = links

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage:
        """The next page of what the node itself has; with `wait_s` as soon as there is a message behind the cursor.

        `Unavailable` when the node is not connected or goes away, `TimedOut`, `Forbidden` by its allow-list.
        """
        return await self._links.ask_messages(key, wanted, wait_s)
