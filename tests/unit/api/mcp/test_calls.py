"""Calls of tools: roles, arguments, errors, time, sizes and the audit log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from quarterdeck.api.mcp.bounds import ANSWER_LIMIT_BYTES, ERROR_LINES_BYTES
from quarterdeck.api.mcp.calls import Calls, Outcome
from quarterdeck.api.mcp.catalogue import TOOLS
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.model.errors import BadProgram, Conflict, NotFound
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import ApiToken, Role

Work = Callable[[Any, Any, ApiToken], Awaitable[Struct]]


class Asked(Struct, frozen=True, kw_only=True):
    number: Annotated[int, Meta(ge=1)] = 1
    text: str = ""


class Given(Struct, frozen=True, kw_only=True):
    text: str


class Log:
    """The audit log."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []

    async def record(self, **entry: str) -> None:
        self.entries.append(entry)


@pytest.fixture
def log() -> Log:
    return Log()


def token(role: Role) -> ApiToken:
    return ApiToken(id="t", name="olga", role=role)


def tool(work: Work, *, role: Role = Role.OPERATOR, action: str = "changeThing") -> Tool:
    return Tool(
        name="thing", title="T", description="D", arguments=Asked, answer=Given, call=work, role=role, action=action
    )


async def echo(_: Any, asked: Asked, by: ApiToken) -> Given:
    return Given(text=f"{asked.number} {asked.text} {by.name}")


def raising(error: Exception) -> Work:
    async def work(*_: Any) -> Given:
        raise error

    return work


async def called(
    log: Log, tool: Tool, arguments: dict[str, Any] | None = None, *, role: Role = Role.OPERATOR, limit_s: float = 60.0
) -> Outcome:
    backend: Any = SimpleNamespace(audit=log)
    outcome = await Calls(backend, limit_s=limit_s).call(tool, arguments or {}, token(role))
    assert msgspec.json.decode(outcome.text) == msgspec.json.decode(msgspec.json.encode(outcome.content))
    return outcome


async def test_an_answer_is_a_struct_and_the_same_as_text(log: Log) -> None:
    outcome = await called(log, tool(echo), {"number": 2, "text": "x"})
    assert outcome == ({"text": "2 x olga"}, '{"text":"2 x olga"}', False)
    assert not log.entries, "the change itself is recorded by who makes it"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"number": 0}, "number"),
        ({"number": "2"}, "number"),
        ({"numbr": 2}, "numbr"),
        ({"text": "\ud800"}, "surrogates"),
        ({"text": None}, "text"),
    ],
)
async def test_wrong_arguments_are_refused_with_the_place(log: Log, arguments: dict[str, Any], words: str) -> None:
    outcome = await called(log, tool(echo), arguments)
    assert (outcome.failed, outcome.content["code"]) == (True, "bad_input")
    assert words in outcome.content["detail"]


async def test_an_error_keeps_its_code_and_hint_and_is_recorded(log: Log) -> None:
    outcome = await called(log, tool(raising(Conflict("No.", hint="Wait."))))
    assert {key: outcome.content[key] for key in ("code", "status", "detail", "hint")} == {
        "code": "conflict",
        "status": 409,
        "detail": "No.",
        "hint": "Wait.",
    }
    (entry,) = log.entries
    assert (entry["actor"], entry["action"], entry["result"], entry["detail"]) == (
        "olga",
        "changeThing",
        "conflict",
        "thing",
    )
    await called(log, tool(raising(Conflict()), role=Role.VIEWER, action=""))
    assert len(log.entries) == 1, "reading is not recorded"


async def test_a_fault_is_logged_and_says_nothing_of_the_inside(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        outcome = await called(log, tool(raising(KeyError("secret"))))
    assert outcome.content["code"] == "internal"
    assert "secret" not in outcome.text
    assert "secret" in caplog.text


async def test_a_call_that_takes_too_long_ends(log: Log) -> None:
    ended = asyncio.Event()

    async def work(*_: Any) -> Given:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    outcome = await called(log, tool(work), limit_s=0.01)
    assert (outcome.content["code"], ended.is_set()) == ("timed_out", True)


async def test_a_cancelled_call_is_cancelled(log: Log) -> None:
    begun = asyncio.Event()

    async def work(*_: Any) -> Given:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    running = asyncio.create_task(called(log, tool(work)))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not log.entries


async def test_an_answer_that_is_too_large_is_an_error(log: Log) -> None:
    async def work(*_: Any) -> Given:
        return Given(text="x" * ANSWER_LIMIT_BYTES)

    outcome = await called(log, tool(work))
    assert outcome.content["code"] == "too_large"


async def test_an_error_is_cut_too(log: Log) -> None:
    lines = tuple(f"{number} {'x' * 100}" for number in range(10_000))
    outcome = await called(log, tool(raising(BadProgram("y" * 100_000, lines=lines))))
    assert len(outcome.text) < ERROR_LINES_BYTES + 10_000
    assert outcome.content["lines"][0] == lines[0]
    assert "characters cut" in outcome.content["detail"]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("each", TOOLS, ids=[each.name for each in TOOLS])
async def test_a_tool_is_closed_to_roles_below_its_own(log: Log, role: Role, each: Tool) -> None:
    outcome = await called(log, replace(each, arguments=Asked, call=echo), role=role)
    refused = not role.covers(each.role)
    assert (outcome.failed and outcome.content["code"] == "forbidden") == refused
    assert [entry["result"] for entry in log.entries] == (["forbidden"] if refused else [])


def test_an_unknown_tool_offers_the_nearest_one_that_the_role_has() -> None:
    backend: Any = SimpleNamespace()
    calls = Calls(backend)
    assert calls.find("query", token(Role.VIEWER)).name == "query"
    with pytest.raises(NotFound, match="list_nodes"):
        calls.find("list_node", token(Role.VIEWER))
    with pytest.raises(NotFound) as raised:
        calls.find("run_comand", token(Role.VIEWER))
    assert "run_command" not in str(raised.value)
