"""The stream of a table's new rows."""

from __future__ import annotations

from typing import Any

import msgspec

from quarterdeck.client.calls import segment
from quarterdeck.client.streams.stream import Stream
from quarterdeck.model.queries import TailRows


class TailStream(Stream[TailRows]):
    """The new rows of a table."""

    def __init__(self, table: str, *, where: str = "") -> None:
        super().__init__(f"/tables/{segment(table)}/tail", where=where)

    def arguments(self, token: str) -> dict[str, Any]:
        """Return the request that opens it. Its query contains the cursor."""
        if self.cursor:
            self.query["cursor"] = self.cursor
        return super().arguments(token)

    def event(self, kind: str, data: str, cursor: str) -> list[TailRows]:  # noqa: ARG002
        """Return rows, with the cursor after them."""
        if kind != "message" or not data:
            return []
        rows = msgspec.json.decode(data, type=TailRows)
        self.cursor = rows.cursor
        return [rows]
