"""The headers of each answer, and the policy of pages."""

from __future__ import annotations

from typing import Any, cast

import pytest
from litestar.types import Message, Receive, Scope, Send

from quarterdeck.api.security_headers import PAGE_POLICY, with_security_headers


async def headers(*given: tuple[bytes, bytes]) -> list[tuple[str, str]]:
    """The headers that the client receives when the application sends these."""
    sent: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(cast("Message", {"type": "http.response.start", "status": 200, "headers": list(given)}))
        await send(cast("Message", {"type": "http.response.body", "body": b"x"}))

    async def send(message: Message) -> None:
        sent.append(message)

    await with_security_headers(app)(cast("Scope", {"type": "http"}), cast("Receive", None), send)
    assert sent[1] == {"type": "http.response.body", "body": b"x"}
    return [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]


@pytest.mark.parametrize("kind", [b"application/json", b"text/html; charset=utf-8"])
async def test_every_answer_has_them(kind: bytes) -> None:
    found = await headers((b"content-type", kind))
    assert found[0] == ("content-type", kind.decode())
    assert dict(found).items() >= {
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    }
    assert dict(found).get("content-security-policy") == (PAGE_POLICY if kind.startswith(b"text/html") else None)


async def test_a_page_keeps_the_policy_that_it_has() -> None:
    found = await headers((b"Content-Type", b"text/html"), (b"Content-Security-Policy", b"default-src 'self'"))
    assert [value for name, value in found if name.lower() == "content-security-policy"] == ["default-src 'self'"]


def test_scripts_come_from_this_server_only() -> None:
    rules = {name: value for name, _, value in (rule.strip().partition(" ") for rule in PAGE_POLICY.split(";"))}
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
