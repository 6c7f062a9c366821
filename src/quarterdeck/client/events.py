"""Server-sent events: the request that opens a live stream, and the decoding of its lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from quarterdeck.client.calls import PREFIX
from quarterdeck.model.queries import TailRows

#: seconds of silence after which a stream is taken for dead; the server sends a comment every 10 s
SILENCE_S = 30.0
#: seconds between a stream's end and the attempt to resume it
RESUME_S = 1.0


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A GET whose answer does not end."""

    path: str
    query: dict[str, str]

    def arguments(self, token: str) -> dict[str, Any]:
        """What httpx's `stream` takes."""
        return {
            "method": "GET",
            "url": self.path,
            "params": self.query,
            "headers": {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"},
            "timeout": SILENCE_S,
        }


def tail(table: str, *, where: str, cursor: str) -> StreamRequest:
    """The stream of a table's new rows, after `cursor` if it is not empty."""
    given = {"where": where, "cursor": cursor}
    return StreamRequest(
        path=f"{PREFIX}/tables/{quote(table, safe='')}/tail", query={k: v for k, v in given.items() if v}
    )


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
