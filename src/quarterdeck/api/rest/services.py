"""Routes of services."""

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
from quarterdeck.server.services import Services

Asked = Request[Any, Any, Any]


@put("/services", operation_id="applyServices", role=Role.OPERATOR, audit=True)
async def apply_services(
    server_services: NamedDependency[Services], request: Asked, data: JSONBody[ApplyServices]
) -> AppliedServices:
    """Create or change the services in the request, all of them or none. Repeating the request changes nothing.

    With `prune`, other services of the same group are removed; with `dry_run` nothing is changed.
    """
    names = " ".join(service.name for service in data.services)
    describe(request.scope, target=names[:1000], detail="dry run" if data.dry_run else "")
    applied = await server_services.apply(data, request.user)
    counts = Counter(change.change for change in applied.changes)
    detail = ", ".join(f"{count} {change}" for change, count in sorted(counts.items()))
    describe(request.scope, target=names[:1000], detail=f"dry run: {detail}" if data.dry_run else detail)
    return applied


@get("/services", operation_id="listServices", role=Role.VIEWER)
async def list_services(server_services: NamedDependency[Services]) -> list[ServiceInfo]:
    """List the services, each with the number of nodes in each state."""
    return await server_services.list()


@get("/services/{service:str}", operation_id="showService", role=Role.VIEWER)
async def show_service(server_services: NamedDependency[Services], service: FromPath[str]) -> ServiceWithNodes:
    """Show a service with its state on every node."""
    return await server_services.show(service)


@delete("/services/{service:str}", operation_id="removeService", role=Role.OPERATOR, audit=True)
async def remove_service(server_services: NamedDependency[Services], service: FromPath[str]) -> None:
    """Remove a service from all nodes. Refused while another service is ordered after it."""
    await server_services.remove(service)


@post("/services/{service:str}/restart", operation_id="restartService", role=Role.OPERATOR, audit=True)
async def restart_service(
    server_services: NamedDependency[Services], request: Asked, service: FromPath[str], data: JSONBody[RestartService]
) -> CommandWithJobs:
    """Restart a service on all of its nodes or on the named ones, by a command with a job on each."""
    made = await server_services.restart(service, data.nodes, request.user)
    describe(request.scope, target=service, detail=f"command {made.id}")
    return made


ROUTES = (apply_services, list_services, show_service, remove_service, restart_service)
