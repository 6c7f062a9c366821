"""Services over HTTP."""

from __future__ import annotations

from collections import Counter
from typing import Any

from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from quarterdeck.api.access import describe
from quarterdeck.model.jobs import CommandWithJobs
from quarterdeck.model.services import AppliedServices, ApplyServices, RestartService, ServiceInfo, ServiceWithNodes
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server

Asked = Request[Any, Any, Any]


@put("/services", operation_id="applyServices", role=Role.OPERATOR, audit=True)
async def apply_services(
    server: NamedDependency[Server], request: Asked, data: JSONBody[ApplyServices]
) -> AppliedServices:
    """Makes services what the request says, all of them or none. The same again changes nothing.

    With `prune`, services of the same group that are not named end; with `dry_run` nothing changes at all.
    """
    names = " ".join(service.name for service in data.services)
    describe(request.scope, target=names[:1000], detail="dry run" if data.dry_run else "")
    applied = await server.services.apply(data, request.user)
    counts = Counter(change.change for change in applied.changes)
    detail = ", ".join(f"{count} {change}" for change, count in sorted(counts.items()))
    describe(request.scope, target=names[:1000], detail=f"dry run: {detail}" if data.dry_run else detail)
    return applied


@get("/services", operation_id="listServices", role=Role.VIEWER)
async def list_services(server: NamedDependency[Server]) -> list[ServiceInfo]:
    """Every service, with how many nodes are in each state."""
    return await server.services.list()


@get("/services/{service:str}", operation_id="showService", role=Role.VIEWER)
async def show_service(server: NamedDependency[Server], service: FromPath[str]) -> ServiceWithNodes:
    """One service with what it does on every node."""
    return await server.services.show(service)


@delete("/services/{service:str}", operation_id="removeService", role=Role.OPERATOR, audit=True)
async def remove_service(server: NamedDependency[Server], service: FromPath[str]) -> None:
    """The service ends everywhere. Refused while another comes after it."""
    await server.services.remove(service)


@post("/services/{service:str}/restart", operation_id="restartService", role=Role.OPERATOR, audit=True)
async def restart_service(
    server: NamedDependency[Server], request: Asked, service: FromPath[str], data: JSONBody[RestartService]
) -> CommandWithJobs:
    """Stops the service and starts it anew where it runs, or on the nodes that are named: a command with its jobs."""
    made = await server.services.restart(service, data.nodes, request.user)
    describe(request.scope, target=service, detail=f"command {made.id}")
    return made


ROUTES = (apply_services, list_services, show_service, remove_service, restart_service)
