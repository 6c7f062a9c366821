"""Answers of queries over HTTP: what travels in headers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from quarterdeck.api.tables import run_query
from quarterdeck.model.queries import Completeness, Query, QueryFormat


async def test_names_of_any_script_travel_in_the_completeness_header() -> None:
    completeness = Completeness(complete=False, offline_nodes=("шторм", "⚓"))

    async def export(query: Query) -> tuple[bytes, Completeness]:
        return b"a\n1\n", completeness

    server: Any = SimpleNamespace(queries=SimpleNamespace(export=export))
    response = await run_query.fn(server, Query(sql="SELECT 1", format=QueryFormat.CSV))
    header = response.headers["X-Completeness"]
    assert header.isascii()
    assert json.loads(header)["offline_nodes"] == ["шторм", "⚓"]
