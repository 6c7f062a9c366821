"""`client.queries`: SQL over the tables."""

from __future__ import annotations

from collections.abc import Mapping

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import post
from quarterdeck.model.queries import Answer, Query, QueryFormat, QueryParameter

#: seconds added to the query's time limit for the answer to arrive
SPARE_S = 10.0


class Queries(Namespace):
    """SQL over the tables."""

    async def run(
        self,
        sql: str,
        parameters: Mapping[str, QueryParameter] | None = None,
        *,
        max_rows: int = 10_000,
        timeout_s: float = 30.0,
    ) -> Answer:
        """Return the answer to a query; parameters are written `{name:Type}` in it."""
        body = Query(sql=sql, parameters=dict(parameters or {}), max_rows=max_rows, timeout_s=timeout_s)
        return await self._connection.send(post("/query", Answer, body, timeout_s=timeout_s + SPARE_S))

    async def export(self, sql: str, *, format: QueryFormat, max_rows: int = 10_000, timeout_s: float = 30.0) -> bytes:
        """Return the answer as CSV with a header line, or as an Arrow IPC stream."""
        body = Query(sql=sql, max_rows=max_rows, timeout_s=timeout_s, format=format)
        return await self._connection.send(post("/query", bytes, body, timeout_s=timeout_s + SPARE_S))
