"""The server's own routes: liveness (also as `/ping`), readiness, version, audit log."""

from __future__ import annotations

from typing import Any

from litestar import MediaType, Request, get, head
from litestar.di import NamedDependency
from litestar.params import FromQuery

from quarterdeck.model.audit import AuditEntry
from quarterdeck.model.server import Ready, ServerInfo
from quarterdeck.model.tokens import Role
from quarterdeck.server.about import About
from quarterdeck.server.audit import Audit


@get("/healthz", operation_id="healthz", public=True, sync_to_thread=False)
def healthz() -> dict[str, str]:
    """Answer 200 while the process runs."""
    return {"status": "ok"}


@get("/readyz", operation_id="readyz", public=True)
async def readyz(server_about: NamedDependency[About]) -> Ready:
    """Answer 200 when both stores respond and the state is writable; otherwise 503 (507: disk full) with the reason.

    `problems` lists faults that do not prevent the server from working.
    """
    await server_about.check_ready()
    return Ready(problems=server_about.problems)


@get("/ping", operation_id="ping", public=True, media_type=MediaType.TEXT, sync_to_thread=False)
def ping() -> str:
    """Answer `pong` while the process runs."""
    return "pong"


@head(["/healthz", "/readyz"], public=True, include_in_schema=False)
async def head_health(server_about: NamedDependency[About], request: Request[Any, Any, Any]) -> None:
    """Answer as the GET routes do, without a body."""
    if request.url.path == "/readyz":
        await server_about.check_ready()


@get("/api/v1/server", operation_id="serverInfo", role=Role.VIEWER)
async def server_info(server_about: NamedDependency[About]) -> ServerInfo:
    """Return the server's version, addresses and stores."""
    return await server_about.info()


@get("/api/v1/audit", operation_id="listAudit", role=Role.ADMIN)
async def list_audit(
    server_audit: NamedDependency[Audit], since: FromQuery[float | None] = None, limit: FromQuery[int] = 100
) -> list[AuditEntry]:
    """List the entries of the audit log, the newest first; with `since`, from then on, in seconds since the epoch."""
    return await server_audit.list(since=since, limit=limit)


ROUTES = (healthz, readyz, ping, head_health, server_info, list_audit)
