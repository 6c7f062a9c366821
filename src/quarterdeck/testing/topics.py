"""Topics for agents of tests that handle only some of a server's messages."""

from __future__ import annotations

from collections.abc import Collection

from quarterdeck.agent.connection import TOPIC_MESSAGES, LiveLink
from quarterdeck.link.conversation import Conversation, Delegated, MessageType, Topic


class Ignored:
    """A topic that accepts these messages and ignores them."""

    def __init__(self, takes: Collection[MessageType]) -> None:
        self.takes = takes

    def open(self, link: LiveLink) -> Conversation:  # noqa: ARG002
        """Open the conversation on a new link."""
        return Delegated(lambda _: None)


def ignoring_others(*topics: Topic[LiveLink, Conversation]) -> list[Topic[LiveLink, Conversation]]:
    """Return these topics, and one that ignores the messages that they do not handle."""
    return [*topics, Ignored(TOPIC_MESSAGES.difference(*(topic.takes for topic in topics)))]
