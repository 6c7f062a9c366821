"""The stream of messages, and the filters that it shares with their pages."""

from __future__ import annotations

import msgspec

from quarterdeck.client.calls import QueryValues, given, number, selecting
from quarterdeck.client.streams.stream import Stream
from quarterdeck.model.messages import FoundMessages, MessageFilter
from quarterdeck.model.nodes import Selector


class MessageStream(Stream[FoundMessages]):
    """The messages that processes print from now on, or after the `resume` of an answer."""

    def __init__(self, wanted: MessageFilter, selector: Selector, *, resume: str = "") -> None:
        super().__init__("/messages/events", **message_query(wanted, selector), resume=resume)

    def event(self, kind: str, data: str, cursor: str) -> list[FoundMessages]:
        """Return messages of one node, or the reason why it sends none."""
        if kind != "messages":
            return []
        self.cursor = cursor
        return [msgspec.json.decode(data, type=FoundMessages)]


def message_query(wanted: MessageFilter, selector: Selector) -> QueryValues:
    """Return the filters of messages as query parameters."""
    levels = wanted.levels if isinstance(wanted.levels, str | int) else ",".join(map(str, wanted.levels))
    query = given(job=wanted.job_id, domain=wanted.domain, name=wanted.name, level=str(levels))
    query |= given(text=wanted.text or None, since=number(wanted.time_from), until=number(wanted.time_to))
    return query | selecting(selector)
