"""The address that a problem document names is served, without a token."""

from __future__ import annotations

from urllib.parse import urljoin

import httpx
import pytest

from quarterdeck.client import AsyncClient
from quarterdeck.model.errors import BY_CODE, Problem, QuarterdeckError, to_problem


@pytest.mark.parametrize("path", ["/api/v1/nodes", "/api/v1/nothing", "/nothing"])
async def test_the_type_of_a_problem_resolves(client: AsyncClient, path: str) -> None:
    url = client.endpoint.url + path
    async with httpx.AsyncClient() as anybody:  # without a token
        answer = await anybody.get(url)
        assert answer.headers["content-type"].startswith("application/problem+json")
        problem = Problem(**answer.json())
        address = urljoin(url, problem.type)
        page = await anybody.get(address)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert f'id="{address.partition("#")[2]}"' in page.text


async def test_every_error_is_on_the_page(client: AsyncClient) -> None:
    async with httpx.AsyncClient() as anybody:
        page = (await anybody.get(client.endpoint.url + to_problem(QuarterdeckError()).type)).text
    for code, kind in BY_CODE.items():
        assert page.count(f'id="{code}"') == 1
        assert f"exit code {kind.exit_code}" in page
