"""The connection's retries: full jitter, a limit, and long pauses when the server refuses."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest

from quarterdeck.agent.connection import RETRIES, Connection
from quarterdeck.link.certificates import Credentials
from quarterdeck.link.messages import PROTOCOL_VERSION, Hello
from quarterdeck.link.wire import AgentLink
from quarterdeck.model.errors import QuarterdeckError, Revoked, Unavailable
from quarterdeck.model.nodes import Facts
from quarterdeck.testing.topics import ignoring_others

NOBODY = Credentials(key_pem=b"", certificate_pem=b"", ca_pem=b"")


class DownWire:
    """A server that fails every connection, until the test has seen enough."""

    def __init__(self, error: QuarterdeckError, tries: int) -> None:
        self.error = error
        self.tries = tries

    def connect(self, credentials: Credentials) -> AgentLink:
        self.tries -= 1
        if self.tries < 0:
            raise InterruptedError
        raise self.error


async def delays(
    error: QuarterdeckError,
    monkeypatch: pytest.MonkeyPatch,
    refused: Callable[[QuarterdeckError], Awaitable[None]] | None = None,
) -> list[float]:
    """Return the waits of a connection between 200 failures, without waiting."""
    waits: list[float] = []

    async def pause(_: Connection, delay_s: float) -> None:
        waits.append(delay_s)

    monkeypatch.setattr(Connection, "_pause", pause)
    connection = Connection(
        DownWire(error, 200),
        credentials=lambda: NOBODY,
        hello=lambda: Hello(protocol=PROTOCOL_VERSION, facts=Facts()),
        topics=ignoring_others(),
        refused=refused,
        jitter=random.Random(1),
    )
    with pytest.raises(InterruptedError):
        await connection.run()
    return waits


async def test_backoff_grows_to_its_cap_with_full_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = await delays(Unavailable("down"), monkeypatch)
    assert len(waits) == 200
    assert max(waits[:1]) <= 2 * RETRIES.unreachable.first_s
    assert max(waits) <= RETRIES.unreachable.cap_s
    late = waits[10:]
    assert min(late) < 1.0
    assert max(late) > 9.0
    assert 4.0 < sum(late) / len(late) < 6.0


async def test_a_refusing_server_is_asked_less_often_and_the_agent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[QuarterdeckError] = []

    async def refused(error: QuarterdeckError) -> None:
        told.append(error)

    waits = await delays(Revoked(), monkeypatch, refused)
    assert min(waits) >= RETRIES.refused.first_s / 2
    assert len(told) == 200


async def test_the_same_reason_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await delays(Unavailable("down"), monkeypatch)
    assert caplog.text.count("no link to the server") == 1
