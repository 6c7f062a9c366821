"""What the server says of itself: liveness, readiness, version, audit log."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from quarterdeck.model.audit import AuditEntry
from quarterdeck.model.server import ServerInfo
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server


@get("/healthz", operation_id="healthz", public=True, sync_to_thread=False)
def healthz() -> dict[str, str]:
    """Answers while the process lives."""
    return {"status": "ok"}


@get("/readyz", operation_id="readyz", public=True)
async def readyz(server: NamedDependency[Server]) -> dict[str, str]:
    """Answers 200 when both stores answer, 503 when one does not."""
    await server.check_ready()
    return {"status": "ready"}


@get("/api/v1/server", operation_id="serverInfo", role=Role.VIEWER)
async def server_info(server: NamedDependency[Server]) -> ServerInfo:
    """Version, addresses and stores."""
    return await server.info()


@get("/api/v1/audit", operation_id="listAudit", role=Role.ADMIN)
async def list_audit(server: NamedDependency[Server], limit: FromQuery[int] = 100) -> list[AuditEntry]:
    """Who changed what, newest first."""
    return await server.audit.list(limit=limit)


ROUTES = (healthz, readyz, server_info, list_audit)
