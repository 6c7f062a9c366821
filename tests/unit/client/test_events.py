"""Live streams: resumed where they stopped, without haste."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import msgspec
import pytest

from quarterdeck.client import Client, Endpoint, events
from quarterdeck.client import synchronous as module
from quarterdeck.model.queries import TailRows


def test_a_table_is_one_segment_of_the_path() -> None:
    assert events.tail("a/../b?c", where="", cursor="").path == "/api/v1/tables/a%2F..%2Fb%3Fc/tail"


def test_a_lost_stream_is_resumed_at_its_cursor_and_not_in_a_busy_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("cursor", ""))
        if len(asked) in {2, 3}:
            raise httpx.ConnectError("the server restarts")
        rows = TailRows(columns=(), rows=[[len(asked)]], cursor=f"c{len(asked)}")
        return httpx.Response(200, content=b"data: " + msgspec.json.encode(rows) + b"\n\n")

    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    client = Client(Endpoint(url="http://deck", token="t"))
    client._http = httpx.Client(base_url="http://deck", transport=httpx.MockTransport(answer))
    stream: Iterator[TailRows] = client.tail("execs")
    assert [next(stream).cursor for _ in range(2)] == ["c1", "c4"]
    assert asked == ["", "c1", "c1", "c1"]
    assert pauses == [events.RESUME_S] * 3
