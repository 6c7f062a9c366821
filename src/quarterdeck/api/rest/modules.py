"""Routes of modules and their instances."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from quarterdeck.model.modules import CreateModule, DeployModule, Instance, Module
from quarterdeck.model.tokens import Role
from quarterdeck.server.modules import Modules

#: bytes of a createModule body: sources, headers and prebuilt objects in base64
MODULE_BODY_LIMIT_BYTES = 64 * 1024 * 1024


@post(
    "/modules",
    operation_id="createModule",
    role=Role.OPERATOR,
    audit=True,
    request_max_body_size=MODULE_BODY_LIMIT_BYTES,
)
async def create_module(
    server_modules: NamedDependency[Modules], request: Request[Any, Any, Any], data: JSONBody[CreateModule]
) -> Module:
    """Compile and check a module's files. With `replace`, the new version runs wherever the old one is deployed."""
    return await server_modules.create(data, sender=request.user.id)


@get("/modules", operation_id="listModule", role=Role.VIEWER)
async def list_modules(server_modules: NamedDependency[Modules]) -> list[Module]:
    """List all modules, including the built-in ones."""
    return await server_modules.list()


@get("/modules/{module:str}", operation_id="showModule", role=Role.VIEWER)
async def show_module(server_modules: NamedDependency[Modules], module: FromPath[str]) -> Module:
    """Show a module by name or id."""
    return await server_modules.show(module)


@post("/modules/{module:str}/deploy", operation_id="deployModule", status_code=200, role=Role.OPERATOR, audit=True)
async def deploy_module(
    server_modules: NamedDependency[Modules], module: FromPath[str], data: JSONBody[DeployModule]
) -> Module:
    """Run a module on the nodes that match, including those that join later."""
    return await server_modules.deploy(module, data)


@post("/modules/{module:str}/undeploy", operation_id="undeployModule", status_code=200, role=Role.OPERATOR, audit=True)
async def undeploy_module(server_modules: NamedDependency[Modules], module: FromPath[str]) -> Module:
    """Stop a module on all nodes. Its rows are kept."""
    return await server_modules.undeploy(module)


@delete("/modules/{module:str}", operation_id="deleteModule", role=Role.OPERATOR, audit=True)
async def delete_module(server_modules: NamedDependency[Modules], module: FromPath[str]) -> None:
    """Delete a module that is not deployed. Its rows are kept until their retention ends."""
    await server_modules.delete(module)


@get("/instances", operation_id="listInstances", role=Role.VIEWER)
async def list_instances(
    server_modules: NamedDependency[Modules], module: FromQuery[str | None] = None
) -> list[Instance]:
    """List the instances of one module or of all, each with its desired and actual state."""
    return await server_modules.instances(module)


ROUTES = (
    create_module,
    list_modules,
    show_module,
    deploy_module,
    undeploy_module,
    delete_module,
    list_instances,
)
