"""Malformed bodies are answered with an error that describes the sender's mistake."""

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


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [("POST", "nodes/select", "nodes"), ("POST", "modules", "files"), ("PUT", "services", "services")],
)
async def test_a_field_of_the_wrong_type_is_named_although_a_noun_has_its_name(
    client: AsyncClient, method: str, path: str, field: str
) -> None:
    headers = {"Authorization": f"Bearer {client.endpoint.token}"}
    async with httpx.AsyncClient(base_url=client.endpoint.url, headers=headers) as http:
        answer = await http.request(method, f"/api/v1/{path}", json={field: 1})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "bad_input")
    assert problem["lines"][0].startswith(f"{field} Expected")
