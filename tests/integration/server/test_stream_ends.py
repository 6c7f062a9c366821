"""A live stream ends with the API token or the login that opened it, and says why."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest
from litestar.routes import HTTPRoute

from quarterdeck.api.app import create_app
from quarterdeck.api.followers import is_stream
from quarterdeck.client import AsyncClient, Endpoint
from quarterdeck.model.errors import Unauthenticated
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.tokens import CreateApiToken, NewApiToken, Role
from quarterdeck.server.server import Server
from tests.integration.server.agent import joined

COMMAND = "waits"
#: path of each stream by its operation, as the same event stream of GraphQL is one of them
STREAMS = {
    "followCommand": f"/api/v1/commands/{COMMAND}/events",
    "followOutput": f"/api/v1/commands/{COMMAND}/output",
    "followMessages": "/api/v1/messages/events",
    "tailTable": "/api/v1/tables/messages/tail",
    "graphqlStream": "/graphql/stream",
}
SUBSCRIPTION = {"query": f'subscription {{ commandJobs(command: "{COMMAND}") {{ cursor }} }}'}
#: comments of an idle stream after which it counts as one that does not end
COMMENTS = 6
End = Callable[[], Awaitable[None]]


class Ended(NamedTuple):
    """The last event of a stream: the code and the text of its problem."""

    code: str
    detail: str


@pytest.fixture
async def waiting(server: Server, client: AsyncClient) -> AsyncClient:
    """Return the client of a server with a command whose only job waits for its node."""
    await joined(server)
    await client.commands.create(CreateCommand(cmd="ping", id=COMMAND))
    return client


async def viewer(client: AsyncClient) -> NewApiToken:
    return await client.api_tokens.create("vera", Role.VIEWER)


@asynccontextmanager
async def opened(client: AsyncClient, operation: str, headers: dict[str, str]) -> AsyncGenerator[httpx.Response]:
    """Open a stream, which has answered when this returns."""
    path = STREAMS[operation]
    async with httpx.AsyncClient(base_url=client.endpoint.url, timeout=60) as http:
        body: Any = {"method": "POST", "json": SUBSCRIPTION} if operation == "graphqlStream" else {"method": "GET"}
        async with http.stream(url=path, headers={"Origin": client.endpoint.url, **headers}, **body) as answer:
            assert answer.status_code == 200
            yield answer


async def last_event(answer: httpx.Response) -> tuple[str, Any]:
    """Read a stream to its end; return the kind and the data of its last event that has data."""
    kind, last, comments = "message", ("", None), 0
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data" and value:
            last = (kind, json.loads(value))
        elif line.startswith(":"):
            comments += 1
            assert comments < COMMENTS, "the stream does not end"
    return last


async def how_it_ended(answer: httpx.Response, operation: str) -> Ended:
    kind, data = await last_event(answer)
    if operation == "graphqlStream":
        assert kind == "next"
        (error,) = data["errors"]
        return Ended(error["extensions"]["code"], error["message"])
    assert kind == "problem"
    return Ended(data["code"], data["detail"])


async def test_each_stream_of_the_api_is_here(server: Server) -> None:
    routes = (route for route in create_app(server).routes if isinstance(route, HTTPRoute))
    handlers = {handler for route in routes for handler in route.route_handlers}
    assert {str(handler.operation_id) for handler in handlers if is_stream(handler)} == STREAMS.keys()


@pytest.mark.parametrize("operation", STREAMS)
async def test_a_stream_ends_with_its_token(waiting: AsyncClient, operation: str) -> None:
    made = await viewer(waiting)
    async with opened(waiting, operation, {"Authorization": f"Bearer {made.token}"}) as answer:
        await waiting.api_tokens.remove(made.info.id)
        found = await how_it_ended(answer, operation)
    assert found == Ended("unauthenticated", "The API token 'vera' was revoked.")


@pytest.mark.parametrize("operation", STREAMS)
async def test_a_stream_ends_with_its_login(waiting: AsyncClient, operation: str) -> None:
    made = await viewer(waiting)
    async with httpx.AsyncClient(base_url=waiting.endpoint.url) as http:
        login = (await http.post("/api/v1/sign-in", json={"token": made.token})).raise_for_status()
    cookie = {"Cookie": f"quarterdeck={login.cookies['quarterdeck']}"}
    async with opened(waiting, operation, cookie) as answer:
        await waiting.logins.remove(login.json()["id"])
        found = await how_it_ended(answer, operation)
    assert found == Ended("unauthenticated", "This browser was signed out.")


async def test_a_stream_ends_when_its_token_expires(server: Server, waiting: AsyncClient) -> None:
    made = await server.tokens.create_api(CreateApiToken(name="brief", role=Role.VIEWER, expires_s=3.0))
    async with opened(waiting, "tailTable", {"Authorization": f"Bearer {made.token}"}) as answer:
        found = await how_it_ended(answer, "tailTable")
    assert found == Ended("token_expired", "The API token 'brief' has expired.")


async def test_the_client_raises_why_and_others_go_on(waiting: AsyncClient) -> None:
    made = await viewer(waiting)
    async with AsyncClient(Endpoint(url=waiting.endpoint.url, token=made.token)) as theirs:
        followed, ours = theirs.commands.follow(COMMAND), waiting.commands.follow(COMMAND)
        assert (await anext(followed)).id == (await anext(ours)).id == COMMAND
        await waiting.api_tokens.remove(made.info.id)
        with pytest.raises(Unauthenticated, match="'vera' was revoked"):
            await anext(followed)
    await waiting.commands.kill(COMMAND)
    assert (await anext(ours)).id == COMMAND
