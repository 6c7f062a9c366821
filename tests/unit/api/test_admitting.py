"""Requests without a checked token take turns; those with a valid token never wait for others' handlers or bodies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from litestar.types import Message, Receive, Scope, Send

from quarterdeck.api.admitting import AT_A_TIME, admitting, token_checked
from quarterdeck.kit.strangers import Strangers

START: Any = {"type": "http.response.start", "status": 401, "headers": []}
DEADLINE_S = 30.0


class App:
    """An application whose requests do what their path says, and never end by themselves."""

    def __init__(self) -> None:
        self.room = Strangers(limit=100)
        self.began: list[int] = []
        self.released = asyncio.Event()
        self._call = admitting(self._answer, self.room)
        self.tasks: list[asyncio.Task[None]] = []

    def request(self, path: str, port: int) -> None:
        scope: Any = {"type": "http", "path": path, "client": ("10.0.0.1", str(port))}  # as granian writes it
        self.tasks.append(asyncio.ensure_future(self._call(scope, self._never, self._send)))

    async def served(self, port: int) -> None:
        """Wait until the request from this port has reached the application."""
        async with asyncio.timeout(DEADLINE_S):
            while port not in self.began:  # noqa: ASYNC110 (the application must take no turn to say so)
                await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope["client"]
        assert client is not None
        self.began.append(int(client[1]))
        match scope["path"]:
            case "/unchecked":
                await self.released.wait()
            case "/refused":
                await send(START)
            case "/failed":
                raise ValueError("a fault")
            case "/public":
                token_checked(scope, valid=False)
                await receive()
            case "/valid":
                token_checked(scope, valid=True)
                await receive()

    async def _never(self) -> Any:
        await asyncio.Event().wait()

    async def _send(self, message: Message) -> None:
        """Wait for a client that reads nothing."""
        await asyncio.Event().wait()


async def test_a_few_unchecked_requests_run_at_a_time_in_their_order() -> None:
    app = App()
    for port in range(AT_A_TIME + 4):
        app.request("/unchecked", port)
    await app.served(AT_A_TIME - 1)
    for _ in range(50):
        await asyncio.sleep(0)
    assert app.began == list(range(AT_A_TIME))
    app.released.set()
    await app.served(AT_A_TIME + 3)
    assert app.began == list(range(AT_A_TIME + 4))
    await app.end()


@pytest.mark.parametrize("path", ["/valid", "/public", "/refused", "/failed"])
async def test_a_turn_ends_before_a_body_is_read_or_an_answer_is_taken(path: str) -> None:
    app = App()
    for port in range(10 * AT_A_TIME):
        app.request(path, port)
    app.request("/valid", 1000)
    await app.served(1000)
    assert app.room.knows("10.0.0.1", 1000)
    assert app.room.knows("10.0.0.1", 0) == (path == "/valid")
    await app.end()


async def test_a_connection_with_a_valid_token_needs_no_turn() -> None:
    app = App()
    app.room.admit("10.0.0.1", 1000)
    for port in range(10 * AT_A_TIME):
        app.request("/unchecked", port)
    app.request("/unchecked", 1000)
    await app.served(1000)
    assert len(app.began) <= AT_A_TIME + 1
    await app.end()


async def test_a_request_that_is_cancelled_in_its_turn_ends_it() -> None:
    app = App()
    for port in range(AT_A_TIME):
        app.request("/unchecked", port)
    await app.served(AT_A_TIME - 1)
    await app.end()
    app.request("/valid", 1000)
    await app.served(1000)
    await app.end()
