"""Calls of tools: roles, arguments, time, sizes and the audit log, the same for every tool. It knows no protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from quarterdeck.api.mcp.backend import Backend
from quarterdeck.api.mcp.bounds import ANSWER_LIMIT_BYTES, ERROR_LINES_BYTES, beginning, fitting
from quarterdeck.api.mcp.catalogue import BY_NAME, visible
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.kit.names import did_you_mean, nearest
from quarterdeck.model.errors import (
    BadInput,
    Forbidden,
    NotFound,
    Problem,
    QuarterdeckError,
    TimedOut,
    TooLarge,
    to_problem,
)
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import ApiToken

log = logging.getLogger(__name__)

#: how long one call may take; each tool has shorter limits of its own for what it waits for
CALL_LIMIT_S = 120.0


class Outcome(NamedTuple):
    """The answer of a tool, or with `failed` the problem document of its error; `text` is the same as JSON."""

    content: Any
    text: str
    failed: bool


class Calls:
    """Calls tools for tokens that `api.access` has checked."""

    def __init__(self, backend: Backend, *, limit_s: float = CALL_LIMIT_S) -> None:
        self._backend = backend
        self._limit_s = limit_s

    def find(self, name: str, token: ApiToken) -> Tool:
        """Return a tool, also one that the token may not call; raise `NotFound`."""
        tool = BY_NAME.get(name)
        if tool is None:
            known = [each.name for each in visible(token.role)]
            hint = did_you_mean(nearest(name, known), otherwise=f"There are: {', '.join(known)}.")
            raise NotFound(f"There is no tool '{name[:100]}'.", hint=hint)
        return tool

    async def call(self, tool: Tool, arguments: Mapping[str, Any], token: ApiToken) -> Outcome:
        """Call a tool. An error is an outcome too, and is in the audit log when the tool changes something."""
        try:
            answer = await self._answer(tool, arguments, token)
            return _outcome(answer, failed=False)
        except QuarterdeckError as error:
            problem = to_problem(error)
            if error.http_status == 500:
                log.error("the MCP tool %s failed", tool.name, exc_info=error)
        except Exception as error:
            log.exception("the MCP tool %s failed", tool.name)
            problem = to_problem(QuarterdeckError(f"The server failed ({type(error).__name__}); see its log."))
        await self._record(tool, token, problem)
        return _outcome(_short(problem), failed=True)

    async def _answer(self, tool: Tool, arguments: Mapping[str, Any], token: ApiToken) -> Struct:
        if not token.role.covers(tool.role):
            raise Forbidden(
                f"The tool '{tool.name}' needs the role {tool.role}; the token '{token.name}' has {token.role}."
            )
        try:
            msgspec.json.encode(arguments)  # the SDK lets half a surrogate pair pass, which no store accepts
            asked = msgspec.convert(arguments, tool.arguments)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise BadInput(f"The arguments of {tool.name} are not valid: {error}.") from error
        try:
            async with asyncio.timeout(self._limit_s):
                return await tool.call(self._backend, asked, token)
        except TimeoutError as error:
            raise TimedOut(
                f"The call took longer than {self._limit_s:g} s.", hint="Ask for less, or for fewer nodes."
            ) from error

    async def _record(self, tool: Tool, token: ApiToken, problem: Problem) -> None:
        """Record a call that failed; one that succeeded is recorded with the change itself."""
        if tool.action:
            await self._backend.audit.record(
                actor=token.name, role=token.role, action=tool.action, target="", result=problem.code, detail=tool.name
            )


def _short(problem: Problem) -> Problem:
    """Return the problem document without what is too long for an answer."""
    return msgspec.structs.replace(
        problem,
        detail=beginning(problem.detail),
        hint=beginning(problem.hint),
        lines=tuple(map(beginning, fitting(problem.lines, ERROR_LINES_BYTES))),
    )


def _outcome(answer: Struct, *, failed: bool) -> Outcome:
    text = msgspec.json.encode(answer)
    if len(text) > ANSWER_LIMIT_BYTES and not failed:
        raise TooLarge(
            f"The answer has {len(text)} bytes, and at most {ANSWER_LIMIT_BYTES} are sent.", hint="Ask for less."
        )
    return Outcome(msgspec.to_builtins(answer), text.decode(), failed)
