"""Modules and their instances over HTTP."""

from __future__ import annotations

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from quarterdeck.model.modules import CreateModule, DeployModule, Instance, Module
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server

#: bytes of a createModule body: sources, headers and prebuilt objects in base64
MODULE_BODY_LIMIT_BYTES = 64 * 1024 * 1024


@post(
    "/modules",
    operation_id="createModule",
    role=Role.OPERATOR,
    audit=True,
    request_max_body_size=MODULE_BODY_LIMIT_BYTES,
)
async def create_module(server: NamedDependency[Server], data: JSONBody[CreateModule]) -> Module:
    """Compiles and checks a module's files. With `replace`, a new version that rolls out where the old one runs."""
    return await server.modules.create(data)


@get("/modules", operation_id="listModule", role=Role.VIEWER)
async def list_modules(server: NamedDependency[Server]) -> list[Module]:
    """All modules, the built-in ones too."""
    return await server.modules.list()


@get("/modules/{module:str}", operation_id="showModule", role=Role.VIEWER)
async def show_module(server: NamedDependency[Server], module: FromPath[str]) -> Module:
    """One module by name or id."""
    return await server.modules.show(module)


@post("/modules/{module:str}/deploy", operation_id="deployModule", status_code=200, role=Role.OPERATOR, audit=True)
async def deploy_module(server: NamedDependency[Server], module: FromPath[str], data: JSONBody[DeployModule]) -> Module:
    """Runs a module on the nodes that match, now and whenever one joins later."""
    return await server.modules.deploy(module, data)


@post("/modules/{module:str}/undeploy", operation_id="undeployModule", status_code=200, role=Role.OPERATOR, audit=True)
async def undeploy_module(server: NamedDependency[Server], module: FromPath[str]) -> Module:
    """Stops a module everywhere. Its rows stay."""
    return await server.modules.undeploy(module)


@delete("/modules/{module:str}", operation_id="deleteModule", role=Role.OPERATOR, audit=True)
async def delete_module(server: NamedDependency[Server], module: FromPath[str]) -> None:
    """Forgets a module that is not deployed. Its rows stay until their retention ends."""
    await server.modules.delete(module)


@get("/instances", operation_id="listInstances", role=Role.VIEWER)
async def list_instances(server: NamedDependency[Server], module: FromQuery[str | None] = None) -> list[Instance]:
    """Every instance with its wanted and actual state, of one module or of all."""
    return await server.modules.instances(module)


ROUTES = (
    create_module,
    list_modules,
    show_module,
    deploy_module,
    undeploy_module,
    delete_module,
    list_instances,
)
