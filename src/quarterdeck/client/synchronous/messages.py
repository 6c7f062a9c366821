"""`client.messages`: messages of processes."""

from __future__ import annotations

from collections.abc import Iterator

from quarterdeck.client.calls import get
from quarterdeck.client.streams.messages import MessageStream, message_query
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.messages import FoundMessages, MessageFilter
from quarterdeck.model.nodes import Selector


class Messages(Namespace):
    """Messages of processes."""

    def list(self, wanted: MessageFilter, selector: Selector | None = None, *, cursor: str = "") -> FoundMessages:
        """Return messages, both stored on nodes and forwarded; `cursor` is that of the previous page."""
        query = message_query(wanted, selector or Selector())
        newest = "true" if wanted.newest_first else None
        call = get("/messages", FoundMessages, **query, limit=str(wanted.limit), cursor=cursor, newest=newest)
        return self._connection.send(call)

    def follow(
        self, wanted: MessageFilter, selector: Selector | None = None, *, resume: str = ""
    ) -> Iterator[FoundMessages]:
        """Yield messages that are printed from now on, or after the `resume` of `list`, without end.

        Each item has messages of one node. A lost connection is resumed where it stopped.
        """
        return self._connection.follow(MessageStream(wanted, selector or Selector(), resume=resume))
