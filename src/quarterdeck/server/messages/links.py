"""Questions about messages to nodes: passes each to the conversation on the link of its node."""

from __future__ import annotations

from collections.abc import Iterable

from quarterdeck.link.messages import MessagesFound
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.messages import MessageFilter, MessagePage
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.messages.questions import Questions
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.sessions.session import Session


class MessageLinks:
    """The topic of messages."""

    takes = (MessagesFound,)

    def __init__(self, links: Links) -> None:
        self._links = links

    def open(self, link: Session) -> Questions:
        """Open the conversation on a new link."""
        return Questions(link)

    def here(self, keys: Iterable[NodeKey]) -> set[NodeKey]:
        """Return which of these nodes are connected now."""
        return self._links.here(keys)

    async def ask(
        self, key: NodeKey, wanted: MessageFilter, wait_s: float, *, follower: int = 0, skip: bool = False
    ) -> MessagePage:
        """Return a page of the node's messages; raise `Unavailable` without a link or when it ends, or `TimedOut`.

        `follower`: make the program wait for this follower until it leaves.
        `skip`: return the newest page after the cursor, with the number of matching messages that were skipped.
        """
        questions = self._links.find(key, self)
        if questions is None:
            raise Unavailable(f"The node {key} is not connected.")
        return await questions.ask(wanted, wait_s, follower=follower, skip=skip)

    def leave(self, key: NodeKey, follower: int) -> None:
        """Notify the node that no program has to wait for this follower any more."""
        if questions := self._links.find(key, self):
            questions.leave(follower)
