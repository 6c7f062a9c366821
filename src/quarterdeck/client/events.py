"""Server-sent events: the request that opens a live stream, and the decoding of its lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from quarterdeck.client.calls import PREFIX
from quarterdeck.model.jobs import Job
from quarterdeck.model.queries import TailRows

#: seconds of silence after which a stream is taken for dead; the server sends a comment every 10 s
SILENCE_S = 30.0
#: seconds between a stream's end and the attempt to resume it
RESUME_S = 1.0


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A GET whose answer does not end."""

    path: str
    query: dict[str, str] = {}
    last_event: str = ""  #: the id of the last event that arrived: the stream goes on after it

    def arguments(self, token: str) -> dict[str, Any]:
        """What httpx's `stream` takes."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        if self.last_event:
            headers["Last-Event-ID"] = self.last_event
        return {"method": "GET", "url": self.path, "params": self.query, "headers": headers, "timeout": SILENCE_S}


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is now; without one the stream has said all there is to say."""

    cursor: str
    job: Job | None


def tail(table: str, *, where: str, cursor: str) -> StreamRequest:
    """The stream of a table's new rows, after `cursor` if it is not empty."""
    given = {"where": where, "cursor": cursor}
    return StreamRequest(
        path=f"{PREFIX}/tables/{quote(table, safe='')}/tail", query={k: v for k, v in given.items() if v}
    )


def follow(command_id: str, *, cursor: str) -> StreamRequest:
    """The stream of what becomes of a command, after `cursor` if it is not empty."""
    return StreamRequest(path=f"{PREFIX}/commands/{quote(command_id, safe='')}/events", last_event=cursor)


def decode(lines: Iterable[str]) -> Iterator[TailRows]:
    """The events in the lines of a stream; each event is one `data:` line."""
    for line in lines:
        if line.startswith("data:"):
            yield msgspec.json.decode(line[5:].strip(), type=TailRows)


async def decode_async(lines: AsyncIterator[str]) -> AsyncIterator[TailRows]:
    """The same over an async stream."""
    async for line in lines:
        if line.startswith("data:"):
            yield msgspec.json.decode(line[5:].strip(), type=TailRows)


def decode_jobs(lines: Iterable[str]) -> Iterator[JobEvent]:
    """The jobs in the lines of a stream, and its end."""
    decoder = _JobEvents()
    for line in lines:
        event = decoder.feed(line)
        if event is not None:
            yield event


async def decode_jobs_async(lines: AsyncIterator[str]) -> AsyncIterator[JobEvent]:
    """The same over an async stream."""
    decoder = _JobEvents()
    async for line in lines:
        event = decoder.feed(line)
        if event is not None:
            yield event


class _JobEvents:
    """Puts the fields of an event together; an empty line ends it. What is no job and no end is passed over."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def feed(self, line: str) -> JobEvent | None:
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        match fields.get("event"):
            case "job":
                job = msgspec.json.decode(fields.get("data", ""), type=Job)
                return JobEvent(cursor=fields.get("id", ""), job=job)
            case "end":
                return JobEvent(cursor=fields.get("id", ""), job=None)
            case _:
                return None
