"""`client.audit`: the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import get, number
from quarterdeck.model.audit import AuditEntry


class Audit(Namespace):
    """The audit log."""

    async def list(self, *, since: float | None = None, limit: int = 100) -> Sequence[AuditEntry]:
        """Return the audit log, newest first; with `since`, from then on, in seconds since the epoch."""
        return await self._connection.send(get("/audit", list[AuditEntry], since=number(since), limit=str(limit)))
