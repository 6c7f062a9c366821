"""Server-sent events: live streams as values, from the request that opens one to what its lines say.

The sync and the async client read the same streams. A stream knows where it is, so that it goes on there when its
connection was lost.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from quarterdeck.client.calls import PREFIX, message_query, segment
from quarterdeck.model.jobs import Job
from quarterdeck.model.messages import FoundMessages, MessageFilter
from quarterdeck.model.nodes import Selector
from quarterdeck.model.output import NodeMessages
from quarterdeck.model.queries import TailRows

#: seconds of silence after which a stream is taken for dead; the server sends a comment every 10 s
SILENCE_S = 30.0
#: seconds between a stream's end and the attempt to resume it
RESUME_S = 1.0

T = TypeVar("T")


class Stream(Generic[T]):
    """A GET whose answer stays open: give it the lines of the answer, and it gives what they say."""

    def __init__(self, path: str, **query: str | tuple[str, ...]) -> None:
        self.path = PREFIX + path
        self.query = {name: value for name, value in query.items() if value}
        self.cursor = ""  #: behind what arrived; "" before anything did
        self.ended = False  #: it has said all there is to say
        self._fields: dict[str, str] = {}

    def arguments(self, token: str) -> dict[str, Any]:
        """What httpx's `stream` takes to open it, or to go on behind what arrived."""
        self._fields = {}
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        return {"method": "GET", "url": self.path, "params": self.query, "headers": headers, "timeout": SILENCE_S}

    def feed(self, line: str) -> list[T]:
        """What is complete with this line; an empty one ends an event."""
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return []
        fields, self._fields = self._fields, {}
        kind = fields.get("event", "message")
        if kind == "end":
            self.ended = True
        return self.event(kind, fields.get("data", ""), fields.get("id", ""))

    def event(self, kind: str, data: str, cursor: str) -> list[T]:
        """What an event says. One of a kind that is not known, a newer server's, says nothing."""
        raise NotImplementedError


class TailStream(Stream[TailRows]):
    """A table's new rows."""

    def __init__(self, table: str, *, where: str = "") -> None:
        super().__init__(f"/tables/{segment(table)}/tail", where=where)

    def arguments(self, token: str) -> dict[str, Any]:
        """As of every stream; this one's cursor is in its query."""
        if self.cursor:
            self.query["cursor"] = self.cursor
        return super().arguments(token)

    def event(self, kind: str, data: str, cursor: str) -> list[TailRows]:  # noqa: ARG002
        """Rows, with the cursor behind them."""
        if kind != "message" or not data:
            return []
        rows = msgspec.json.decode(data, type=TailRows)
        self.cursor = rows.cursor
        return [rows]


class JobStream(Stream[Job]):
    """What becomes of a command."""

    def __init__(self, command_id: str) -> None:
        super().__init__(f"/commands/{segment(command_id)}/events")

    def event(self, kind: str, data: str, cursor: str) -> list[Job]:
        """A job as it is now."""
        if kind != "job":
            return []
        self.cursor = cursor
        return [msgspec.json.decode(data, type=Job)]


class OutputStream(Stream[Job | NodeMessages]):
    """What becomes of a command, and what it prints. Events without an id wait for the next that has one."""

    def __init__(self, command_id: str, *, follow: bool = True) -> None:
        path = f"/commands/{segment(command_id)}/output"
        super().__init__(path, follow="" if follow else "false")
        self._live = follow
        self._waiting: list[Job | NodeMessages] = []

    def arguments(self, token: str) -> dict[str, Any]:
        """As of every stream; what was not complete comes again."""
        self._waiting = []
        return super().arguments(token)

    def event(self, kind: str, data: str, cursor: str) -> list[Job | NodeMessages]:
        """Jobs, and messages of a node, in the order in which they are to be shown."""
        if kind == "job":
            self._waiting.append(msgspec.json.decode(data, type=Job))
        elif kind == "messages":
            self._waiting.append(msgspec.json.decode(data, type=NodeMessages))
        if self._live and not cursor and not self.ended:
            return []
        self.cursor = cursor or self.cursor
        told, self._waiting = self._waiting, []
        return told


class MessageStream(Stream[FoundMessages]):
    """What processes print from now on, or behind the `resume` of an answer."""

    def __init__(self, wanted: MessageFilter, selector: Selector, *, resume: str = "") -> None:
        super().__init__("/messages/events", **message_query(wanted, selector), resume=resume)

    def event(self, kind: str, data: str, cursor: str) -> list[FoundMessages]:
        """Messages of one node, or why it says nothing."""
        if kind != "messages":
            return []
        self.cursor = cursor
        return [msgspec.json.decode(data, type=FoundMessages)]
