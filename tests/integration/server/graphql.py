"""Requests to the GraphQL API of a server, and the example of every field of its schema."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import msgspec
from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)

from quarterdeck.client import AsyncClient, Endpoint

#: arguments for which a made-up text would not be refused at once, or not be accepted
_VALUES = {"String": '"x"', "BigInt": "1", "Float": "1.0", "Boolean": "false", "JSON": "{}"}


def http(endpoint: Endpoint, token: str = "") -> httpx.AsyncClient:
    """Return a client for plain requests with the endpoint's token, or another one."""
    headers = {"Authorization": f"Bearer {token or endpoint.token}"}
    return httpx.AsyncClient(base_url=endpoint.url, headers=headers, timeout=60)


async def ask(client: AsyncClient, query: str, *, token: str = "", **variables: Any) -> dict[str, Any]:
    """Return the answer to a query: its data and its errors."""
    async with http(client.endpoint, token) as asked:
        answer = await asked.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content)


async def codes(client: AsyncClient, query: str, *, token: str = "", **variables: Any) -> list[str]:
    """Return the codes of the errors in the answer to a query."""
    answer = await ask(client, query, token=token, **variables)
    return [error["extensions"]["code"] for error in answer.get("errors", ())]


async def follow(client: AsyncClient, query: str, *, token: str = "", **variables: Any) -> AsyncGenerator[Any]:
    """Yield the events of a subscription."""
    async with (
        http(client.endpoint, token) as asked,
        asked.stream("POST", "/graphql/stream", json={"query": query, "variables": variables}) as response,
    ):
        assert response.status_code == 200, await response.aread()
        kind = ""
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            if kind == "complete":
                return
            if name == "data":
                yield msgspec.json.decode(value)


def examples(schema: GraphQLSchema, kind: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each field of a root type, and an operation with only that field."""
    root = schema.type_map[kind]
    assert isinstance(root, GraphQLObjectType)
    for name, field in root.fields.items():
        yield name, f"{kind.lower()} {{ {name}{_arguments(field)} {_selection(field)} }}"


def _selection(field: GraphQLField) -> str:
    return "{ __typename }" if isinstance(get_named_type(field.type), GraphQLObjectType) else ""


def _arguments(field: GraphQLField) -> str:
    given = [f"{name}: {_value(each.type)}" for name, each in field.args.items() if is_required_argument(each)]
    return f"({', '.join(given)})" if given else ""


def _value(kind: Any) -> str:
    if isinstance(kind, GraphQLNonNull):
        return _value(kind.of_type)
    if isinstance(kind, GraphQLList):
        return "[]"
    if isinstance(kind, GraphQLInputObjectType):
        fields = (f"{n}: {_value(f.type)}" for n, f in kind.fields.items() if is_required_input_field(f))
        return "{" + ", ".join(fields) + "}"
    return _VALUES.get(kind.name) or next(iter(kind.values))
