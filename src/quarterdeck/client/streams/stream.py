"""Server-sent events: a live stream as a value, from the request that opens it to the content of its lines.

A stream stores its position, so that it can be resumed there after its connection was lost. It does no HTTP.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from quarterdeck.client.calls import PREFIX
from quarterdeck.model.errors import Problem, from_problem

#: seconds of silence after which a stream is considered broken; the server sends a comment every 10 s
SILENCE_S = 30.0
#: seconds that one attempt to connect may take
CONNECT_S = 10.0
#: seconds between a stream's end and the attempt to resume it
RESUME_S = 1.0

T = TypeVar("T")


class Stream(Generic[T]):
    """A GET request whose answer stays open. It takes the lines of the answer and returns their events."""

    def __init__(self, path: str, **query: str | tuple[str, ...]) -> None:
        self.path = PREFIX + path
        self.query = {name: value for name, value in query.items() if value}
        self.cursor = ""  #: position after the last event; "" before the first
        self.ended = False  #: the server has sent everything
        self._fields: dict[str, str] = {}

    def arguments(self, token: str) -> dict[str, Any]:
        """Return the arguments of httpx's `stream` that open it, or resume it after the last event."""
        self._fields = {}
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        # to connect, to read, to write, to wait for a free connection
        timeout = (CONNECT_S, SILENCE_S, SILENCE_S, SILENCE_S)
        return {"method": "GET", "url": self.path, "params": self.query, "headers": headers, "timeout": timeout}

    def feed(self, line: str) -> list[T]:
        """Return the events that are complete with this line. An empty line ends an event.

        Raise the error with which the server ended the stream.
        """
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return []
        fields, self._fields = self._fields, {}
        kind = fields.get("event", "message")
        if kind == "end":
            self.ended = True
        if kind == "problem":
            raise from_problem(msgspec.json.decode(fields.get("data", ""), type=Problem))
        return self.event(kind, fields.get("data", ""), fields.get("id", ""))

    def event(self, kind: str, data: str, cursor: str) -> list[T]:
        """Return the content of an event. An event of an unknown kind, from a newer server, has none."""
        raise NotImplementedError
