"""Answers of queries over HTTP: what travels in headers."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

from quarterdeck.api.rest.tables import run_query
from quarterdeck.model.queries import Completeness, Query, QueryFormat
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.queries import Reply
from tests.telemetry import VIEWER


class Here:
    """A request whose client stays."""

    user = VIEWER

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError


async def test_names_of_any_script_travel_in_the_completeness_header() -> None:
    completeness = Completeness(complete=False, offline_nodes=("шторм", "⚓"))

    async def run(query: Query, token: ApiToken) -> Reply:
        return Reply((b"a\n", memoryview(b"1\n")), completeness)

    queries: Any = SimpleNamespace(run=run)
    response = await run_query.fn(queries, Here(), Query(sql="SELECT 1", format=QueryFormat.CSV))
    header = response.headers["X-Completeness"]
    assert header.isascii()
    assert json.loads(header)["offline_nodes"] == ["шторм", "⚓"]
