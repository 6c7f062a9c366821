"""Findings of `why`: each describes one object on one node, with its reported status and its last log lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from quarterdeck.api.mcp.backend import Backend
from quarterdeck.api.mcp.bounds import TEXT_CHARS, beginning, end, fitting
from quarterdeck.api.mcp.messages import in_text
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.messages import MessageFilter
from quarterdeck.model.moments import utc
from quarterdeck.model.nodes import AgentState, Node, NodeKey, Selector
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import ApiToken

#: the most log lines of one finding
LINES_LIMIT = 200
#: findings of one answer whose log lines are read
WITH_LINES = 5
#: findings of one kind in an answer
FINDINGS = 50
#: characters of all log lines of one finding; the last ones are kept
LINES_CHARS = 6000


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing, on one node where that applies. `status` is what its node reported, with all fields of the API."""

    kind: str
    name: str
    well: bool
    state: str
    node: str = ""
    node_state: str = ""  #: of the agent; when it is not ONLINE, `state` is the last that it reported
    reason: str = ""
    since: str = ""
    status: dict[str, Any] = {}
    lines: tuple[str, ...] = ()  #: its last log lines, the oldest first


class Why(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of why. `problems`: why parts of the answer may be missing."""

    well: bool
    summary: str
    findings: tuple[Finding, ...]
    problems: tuple[str, ...] = ()
    cut: str = ""


class Question(NamedTuple):
    """The question, and the components of the server that answer it."""

    backend: Backend
    name: str
    node: str
    lines: int
    token: ApiToken
    now: Callable[[], float] = time.time


class Gathered(NamedTuple):
    """The findings; objects that are not well come first."""

    well: bool
    summary: str
    findings: Sequence[Finding]
    problems: Sequence[str] = ()
    left_out: int = 0


async def known_nodes(question: Question) -> Mapping[NodeKey, Node]:
    """Return all nodes, or the one in the question; raise `NotFound`."""
    nodes = question.backend.nodes
    found = [await nodes.show(question.node)] if question.node else await nodes.list()
    return {node.key: node for node in found}


def away(node: Node | None) -> str:
    """Return the words about a node that is not online, else ""."""
    if node is None or node.state is AgentState.ONLINE:
        return ""
    seen = f" since {utc(node.seen_at)}" if node.seen_at else ""
    return f"The node is {node.state}{seen}; this is what it reported last."


def reasons(*parts: str) -> str:
    """Return these sentences as one text."""
    return beginning(" ".join(part.strip() for part in parts if part.strip()))


def since(moment: float) -> str:
    """Return a moment as text; "" for none."""
    return utc(moment) if moment else ""


def status_of(struct: msgspec.Struct) -> dict[str, Any]:
    """Return all fields of a struct that are not empty, with long texts and lists cut."""
    return {name: _short(value) for name, value in msgspec.to_builtins(struct).items() if value not in (None, "", ())}


def _short(value: Any) -> Any:
    """Return the value with the ends of its texts, and of a list the last items that `LINES_CHARS` hold."""
    if isinstance(value, str):
        return end(value, TEXT_CHARS)
    if isinstance(value, dict):
        given: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _short(part) for key, part in given.items()}
    if isinstance(value, list | tuple):
        items: list[Any] = [_short(part) for part in value]  # pyright: ignore[reportUnknownVariableType]
        return list(reversed(fitting(items[::-1], LINES_CHARS)))
    return value


async def with_lines(
    question: Question, findings: Sequence[tuple[Finding, NodeKey]], *, job: str
) -> tuple[list[Finding], list[str]]:
    """Add the last log lines of `job` to the first findings that are not well, and return why some are missing."""
    wanted = [place for place, (finding, _) in enumerate(findings) if not finding.well][:WITH_LINES]
    if not question.lines:
        wanted = []
    read = await asyncio.gather(*(_last_lines(question, findings[place][1], job) for place in wanted))
    found = [finding for finding, _ in findings]
    for place, (lines, _) in zip(wanted, read, strict=True):
        found[place] = msgspec.structs.replace(found[place], lines=lines)
    return found, [problem for _, problems in read for problem in problems]


async def _last_lines(question: Question, key: NodeKey, job: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    wanted = MessageFilter(job_id=job, newest_first=True, limit=question.lines)
    try:
        page = await question.backend.messages.select(Selector(nodes=(str(key),)), wanted)
    except QuarterdeckError as error:
        return (), (f"The log lines on {key} cannot be read: {error}",)
    lines: list[str] = []
    left = LINES_CHARS
    for message in page.messages:
        text = in_text(message)
        left -= len(text)
        if left < 0 and lines:
            break
        lines.append(end(text, LINES_CHARS))
    return tuple(reversed(lines)), page.problems
