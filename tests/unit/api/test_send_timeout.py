"""An answer that its client does not read is cancelled."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from litestar.types import Message, Receive, Scope, Send

from quarterdeck.api.send_timeout import with_send_timeout
from quarterdeck.model.errors import Unavailable
from tests.fast_loop import FastLoop

SCOPE: Any = {"type": "http", "path": "/api/v1/query"}


async def never() -> Any:
    await asyncio.Event().wait()


async def never_taken(message: Message) -> None:
    await never()


async def test_who_reads_gets_all() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})

    await with_send_timeout(app, SCOPE, never, send)
    assert [message["body"] for message in sent] == [b"0", b"1", b"2"]  # type: ignore[typeddict-item]


def test_who_does_not_read_is_given_up_and_the_app_ends(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def send(message: Message) -> None:
        await never()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        piece: Message = {"type": "http.response.body", "body": b"", "more_body": True}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(send(piece))  # type: ignore[arg-type]
                group.create_task(never())
        except* Unavailable:
            ended.append("answer")
            await send(piece)  # as an exception handler does

    with asyncio.Runner(loop_factory=partial(FastLoop, 10_000)) as runner:
        runner.run(with_send_timeout(app, SCOPE, never, send))
    assert ended == ["answer"]
    assert "/api/v1/query" in caplog.text


async def test_other_faults_are_not_hidden() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("a fault")

    with pytest.raises(ValueError, match="a fault"):
        await with_send_timeout(app, SCOPE, never, never_taken)
