"""Bodies that no client of ours sends: they are the sender's mistake, said in words."""

from __future__ import annotations

import httpx
import pytest

from quarterdeck.client import AsyncClient


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"cmd":' * 5000], ids=["lists", "objects"])
@pytest.mark.parametrize(("method", "path"), [("POST", "commands"), ("PUT", "services"), ("POST", "query")])
async def test_a_body_that_is_nested_too_deeply_is_refused(
    client: AsyncClient, method: str, path: str, body: bytes
) -> None:
    headers = {"Authorization": f"Bearer {client.endpoint.token}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=client.endpoint.url, headers=headers) as http:
        answer = await http.request(method, f"/api/v1/{path}", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")
