"""`qd server`: what was begun is ended, whenever it is told to end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from quarterdeck.api import app
from quarterdeck.api import serve as api
from quarterdeck.cli import serve
from quarterdeck.model.config import ServerConfig
from quarterdeck.server import server
from quarterdeck.server.descriptors import Connections


async def test_told_to_end_while_http_starts_it_stops_what_was_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    starting = asyncio.Event()

    class Deck:
        connections = Connections.of(1024)
        http_socket = tmp_path / "http.socket"

        def __init__(self, _: ServerConfig) -> None: ...

        async def start(self) -> None: ...

        async def stop(self) -> None:
            said.append("deck")

    class Http:
        def __init__(self, *_: object, **__: object) -> None: ...

        async def start(self) -> None:
            starting.set()
            await asyncio.Event().wait()

        async def stop(self) -> None:
            said.append("http")

    monkeypatch.setattr(server, "Server", Deck)
    monkeypatch.setattr(api, "HttpServer", Http)
    monkeypatch.setattr(app, "create_app", Deck)
    serving = asyncio.create_task(serve._serve(ServerConfig(home=str(tmp_path))))  # pyright: ignore[reportPrivateUsage]
    await asyncio.wait({serving, asyncio.create_task(starting.wait())}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert said == ["http", "deck"]
