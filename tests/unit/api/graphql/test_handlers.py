"""Handlers of REST as functions: their arguments, the role and audit entry of each call, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any
from unittest.mock import AsyncMock

import msgspec
import pytest
from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import ServerSentEvent

from quarterdeck.api.access import describe, leave_out
from quarterdeck.api.graphql.handlers import INPUT, SELECTOR, Argument, Context, Handler
from quarterdeck.api.graphql.lists import Lists
from quarterdeck.api.rest import selectors
from quarterdeck.model.audit import AuditEntry
from quarterdeck.model.errors import BadInput, Conflict, Forbidden
from quarterdeck.model.nodes import Selector
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import ApiToken, Role


class Body(Struct, frozen=True, kw_only=True):
    """A body."""

    size: int = 1


class Noun(Struct, frozen=True, kw_only=True):
    """What a handler returns."""

    said: str


@post("/nouns/{noun:str}", operation_id="changeNoun", role=Role.OPERATOR, audit=True)
async def change(
    server_nouns: NamedDependency[Any], request: Request[Any, Any, Any], noun: FromPath[str], data: JSONBody[Body]
) -> Noun:
    """Change a noun."""
    if data.size == 0:
        leave_out(request.scope)
    elif data.size > 1:
        describe(request.scope, target=noun, detail=f"size {data.size}")
    if data.size < 0:
        raise Conflict
    return Noun(said=f"{server_nouns} {noun} {data.size} by {request.user.name}")


def to_text(*, text: FromQuery[str], size: Annotated[int, QueryParameter(name="least")] = 7) -> str:
    """Return a text of two parameters."""
    return f"{text} {size}"


@get(
    "/nouns",
    operation_id="listNouns",
    role=Role.VIEWER,
    dependencies={**selectors.CHOSEN, "wanted": Provide(to_text, sync_to_thread=False)},
)
async def nouns(
    *, chosen: NamedDependency[Selector], limit: FromQuery[int] = 5, wanted: NamedDependency[str]
) -> list[Noun]:
    """List nouns."""
    return [Noun(said=f"{chosen} {limit} {wanted}")]


@delete("/nouns/{noun:str}", operation_id="removeNoun", audit=True)
async def remove(noun: FromPath[str]) -> None:
    """Remove a noun."""


@get("/a", operation_id="stream", role=Role.VIEWER)
async def stream() -> ServerSentEvent:
    """Stream."""
    raise NotImplementedError


@get("/b", operation_id="raw", role=Role.VIEWER)
async def raw() -> Response[Noun]:
    """Return a response."""
    raise NotImplementedError


@put("/c", operation_id="upload", role=Role.VIEWER, request_max_body_size=None)
async def upload() -> Noun:
    """Take a stream."""
    raise NotImplementedError


@get("/d", operation_id="public", public=True)
async def public() -> Noun:
    """Need no token."""
    raise NotImplementedError


def context(role: Role, *, state: dict[str, Any] | None = None) -> Context:
    token = ApiToken(id="t", name="olga", role=role)
    scope: Any = {"type": "http", "user": token, "state": state or {}, "path": "/graphql", "headers": []}
    services: dict[str, object] = {"server_nodes": None, "server_modules": None, "server_services": None}
    audit: Any = AsyncMock()
    services["server_nouns"] = "nouns"
    return Context(request=Request(scope), services=services, audit=audit, lists=Lists(services))


def entries(asked: Context) -> Iterator[tuple[str, str, str, str]]:
    audit: Any = asked.audit
    for call in audit.record.await_args_list:
        entry = msgspec.convert({"id": 0, "time": 0.0, **call.kwargs}, AuditEntry)
        yield entry.action, entry.target, entry.result, entry.detail


def test_only_what_takes_and_returns_json_behind_a_role_is_a_field() -> None:
    assert all(Handler(each).has_json for each in (change, nouns, remove))
    assert not any(Handler(each).has_json for each in (stream, raw, upload, public))


def test_arguments_are_named_as_the_route_names_them() -> None:
    assert Handler(remove).role is Role.ADMIN
    assert [each.name for each in Handler(change).arguments] == ["noun", INPUT]
    first, *others = Handler(nouns).arguments
    assert first == Argument(name=SELECTOR, kind=Selector | None, default=None)
    assert [(each.name, each.default) for each in others] == [
        ("limit", 5),
        ("text", msgspec.NODEFAULT),
        ("least", 7),
    ]


async def test_a_call_is_that_of_the_route() -> None:
    asked = context(Role.OPERATOR)
    answer = await Handler(change)(asked, {"noun": "a/b", INPUT: {"size": 2}})
    assert answer == Noun(said="nouns a/b 2 by olga")
    await Handler(change)(asked, {"noun": "a/b", INPUT: {}})
    await Handler(change)(asked, {"noun": "x", INPUT: {"size": 0}})
    with pytest.raises(Conflict):
        await Handler(change)(asked, {"noun": "x", INPUT: {"size": -1}})
    with pytest.raises(BadInput, match="Expected `int`"):
        await Handler(change)(asked, {"noun": "x", INPUT: {"size": "2"}})
    assert list(entries(asked)) == [
        ("changeNoun", "a/b", "ok", "size 2"),
        ("changeNoun", "a/b", "ok", ""),
        ("changeNoun", "x", "conflict", ""),
        ("changeNoun", "x", "bad_input", ""),
    ]


async def test_a_selector_is_passed_on() -> None:
    selector = Selector(labels={"a": "b=c"}, nodes=("n",), roles=("web",), gid=3)
    (answer,) = await Handler(nouns)(context(Role.VIEWER), {SELECTOR: selector, "text": "t"})
    assert answer.said == f"{selector} 5 t 7"


async def test_a_parameter_that_is_provided_is_made_of_its_arguments() -> None:
    (answer,) = await Handler(nouns)(context(Role.VIEWER), {"text": "t", "least": 3, "limit": 1})
    assert answer.said == f"{Selector()} 1 t 3"


async def test_a_role_that_does_not_cover_the_routes_is_refused_and_audited() -> None:
    asked = context(Role.VIEWER)
    with pytest.raises(Forbidden, match="role operator"):
        await Handler(change)(asked, {"noun": "a", INPUT: {}})
    with pytest.raises(Forbidden, match="role admin"):
        await Handler(remove)(asked, {"noun": "a"})
    assert list(entries(asked)) == [("changeNoun", "a", "forbidden", ""), ("removeNoun", "a", "forbidden", "")]


async def test_what_the_request_knows_of_its_sender_is_known_to_each_call() -> None:
    state: dict[str, Any] = {"login": "a login"}
    asked = context(Role.ADMIN, state=state)
    seen: list[Any] = []

    async def run(request: Any) -> None:
        seen.append(request.scope["state"]["login"])
        describe(request.scope, target="own", detail="")

    await Handler(remove).perform(asked, run)
    await Handler(remove)(asked, {"noun": "b"})
    assert seen == ["a login"]
    assert "audit" not in state
    assert [target for _, target, _, _ in entries(asked)] == ["own", "b"]


async def test_a_fault_is_audited_as_internal() -> None:
    asked = context(Role.ADMIN)

    async def run(_: Any) -> None:
        raise KeyError("a fault")

    with pytest.raises(KeyError, match="a fault"):
        await Handler(remove).perform(asked, run)
    assert [result for _, _, result, _ in entries(asked)] == ["internal"]
