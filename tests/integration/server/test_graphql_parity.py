"""What GraphQL lists equals what REST lists, field by field, whatever is stored."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLObjectType, build_schema

from quarterdeck.api.graphql.schema import schema
from quarterdeck.api.graphql.types import camel
from quarterdeck.client import AsyncClient
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.saved_queries import QueryView, SaveQuery
from quarterdeck.model.schedules import CreateSchedule
from quarterdeck.model.services import ApplyServices, HealthCheck, Service
from quarterdeck.model.tokens import CreateJoinToken
from quarterdeck.server.server import Server
from tests.integration.server.agent import joined
from tests.integration.server.graphql import ask, http

CORE = build_schema(schema().as_str())
#: field → route of REST
LISTS = {
    "agents": "/agents",
    "commands": "/commands",
    "instances": "/instances",
    "savedQueries": "/saved-queries",
    "schedules": "/schedules",
    "services": "/services",
    "tables": "/tables",
    "apiTokens": "/tokens/api",
    "joinTokens": "/tokens/join",
    "modules": "/modules",
    "nodes": "/nodes",
    "jobs": "/jobs",
    "audit": "/audit",
}
PAGED = {"nodes", "jobs", "audit"}
#: changes with each request
MOVING = {"used_at"}
#: fields that REST has not: they lead to other nouns
JOINED = {
    "AgentRecord": {"node"},
    "Node": {"services", "instances"},
    "Module": {"instances"},
    "Instance": {"node", "module"},
    "ServiceInfo": {"nodes"},
    "ServiceOnNode": {"node"},
    "Job": {"node"},
}


def selection(kind: Any) -> str:
    """Return a selection of everything that REST has of a type."""
    while not isinstance(kind, GraphQLObjectType):
        if not hasattr(kind, "of_type"):
            return ""
        kind = kind.of_type
    inner = (f"{n} {selection(f.type)}" for n, f in kind.fields.items() if n not in JOINED.get(kind.name, ()))
    return "{ " + " ".join(inner) + " }"


def same(found: Any, said: Any) -> None:
    """Assert that an answer of GraphQL has all that REST said. REST leaves out defaults of what agents report."""
    if isinstance(said, dict) and isinstance(found, dict):
        for key, value in said.items():
            if key in MOVING:
                continue
            name = key if key in found else camel(key)
            assert name in found, (key, sorted(found))
            same(found[name], value)
    elif isinstance(said, list):
        assert len(found) == len(said)
        for one, other in zip(found, said, strict=True):
            same(one, other)
    else:
        assert found == said


@pytest.fixture
async def filled(server: Server, client: AsyncClient) -> AsyncClient:
    """Return the client of a server on which something of each noun is."""
    await joined(server)
    health = HealthCheck(http="http://127.0.0.1:1/", interval=2.5)
    await client.services.apply(
        ApplyServices(
            services=(
                Service(name="a", command=("sleep", "1"), env={"snake_key": "ü\u2028"}, memory="512M", health=health),
                Service(name="b", command=("true",), after=("a",), loglevels=7),
            ),
            group="g",
        )
    )
    await client.commands.create(CreateCommand(cmd="ping", args={"camel_case": [1, {"x_y": None}]}, id="c-1"))
    await client.commands.create(CreateCommand(cmd="execute", args={"cmd": "x"}, expires_s="never"))
    await client.commands.kill("c-1")
    await client.schedules.create(CreateSchedule(name="s", command=CreateCommand(cmd="ping"), period_s=3 * 10**8))
    await client.saved_queries.save("q", SaveQuery(sql="SELECT 1", description="ü", view=QueryView.CHART))
    await client.tokens.create(CreateJoinToken(labels={"role": "db"}, allow_labels=("x_*",)))
    await client.modules.deploy("counted")
    return client


async def test_each_list_is_that_of_rest(filled: AsyncClient) -> None:
    root = CORE.type_map["Query"]
    assert isinstance(root, GraphQLObjectType)
    async with http(filled.endpoint) as asked:
        for field, path in LISTS.items():
            said = (await asked.get(f"/api/v1{path}")).json()
            assert said, f"there is something to compare: {field}"
            kind: Any = root.fields[field].type
            paged = field in PAGED
            wanted = f"{{ nodes {selection(kind.fields['nodes'].type)} }}" if paged else selection(kind)
            found = (await ask(filled, f"{{ {field} {wanted} }}"))["data"][field]
            same(found["nodes"] if paged else found, said)
