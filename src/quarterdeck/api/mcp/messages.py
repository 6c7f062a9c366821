"""The tool that reads logs: what programs printed, from the nodes and from what they forwarded."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, field

from quarterdeck.api.mcp.backend import Backend
from quarterdeck.api.mcp.bounds import beginning, fitting
from quarterdeck.api.mcp.nodes import Chosen
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput
from quarterdeck.model.messages import PAGE_MESSAGES, MessageFilter, NodeMessage
from quarterdeck.model.nodes import Selector
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import ApiToken

Moment = Annotated[str, Meta(description='A time such as "2026-11-30T15:00:00Z", or how long ago: "15m", "2h".')]


class ReadLogs(Struct, frozen=True, kw_only=True):
    """The arguments of read_logs."""

    service: Annotated[str, Meta(description="Only lines of this service.")] = ""
    job: Annotated[str, Meta(description="Only lines of this job: the id of its command.")] = ""
    selector: Chosen = field(default_factory=Selector)
    levels: Annotated[
        str,
        Meta(description="Such as 7-9 or 1,2: 1 stdout, 2 stderr, 5 log, 7 warning, 8 error, 9 critical, 11 debug."),
    ] = "*"
    text: Annotated[str, Meta(description="Only lines with this text; upper and lower case differ.")] = ""
    since: Moment = ""
    until: Moment = ""
    oldest_first: Annotated[bool, Meta(description="Begin with the oldest lines, not with the newest.")] = False
    limit: Annotated[int, Meta(ge=1, le=PAGE_MESSAGES, description="The most lines in the answer.")] = 200
    cursor: Annotated[str, Meta(description="`cursor` of the previous answer, with the same arguments.")] = ""


class LogLine(Struct, frozen=True, kw_only=True):
    """One line. `job` is the id of its command, or service/NAME."""

    time: str
    node: str
    job: str
    level: int
    text: str


class LogLines(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of read_logs. `problems`: why lines may be missing. With `cursor` there are more."""

    lines: tuple[LogLine, ...]
    problems: tuple[str, ...] = ()
    cursor: str = ""
    cut: str = ""


async def read_logs(backend: Backend, asked: ReadLogs, _: ApiToken) -> LogLines:
    """Return the lines that match, the newest first."""
    if asked.service and asked.job:
        raise BadInput("Expected a service or a job, found both.")
    if asked.service:
        await backend.services.show(asked.service)
    now = time.time()
    wanted = MessageFilter(
        job_id=job_of(asked.service) if asked.service else asked.job or None,
        levels=asked.levels,
        text=asked.text,
        time_from=milliseconds(asked.since, now),
        time_to=milliseconds(asked.until, now),
        limit=asked.limit,
        newest_first=not asked.oldest_first,
    )
    found = await backend.messages.select(asked.selector, wanted, cursor=asked.cursor)
    lines = [_line(message) for message in found.messages]
    shown = fitting(lines)
    if len(shown) < len(lines):
        cut = f"{len(lines) - len(shown)} lines were left out for size. Use limit={max(1, len(shown))} to page through."
        return LogLines(lines=tuple(shown), problems=found.problems, cut=cut)
    return LogLines(lines=tuple(lines), problems=found.problems, cursor=found.cursor or "")


def job_of(service: str) -> str:
    """Return the id under which the lines of a service are stored."""
    return f"service/{service}"


def in_text(message: NodeMessage) -> str:
    """Return a line with its time and level as one text."""
    return f"{_time(message)} [{message.level}] {beginning(message.data)}"


def _line(message: NodeMessage) -> LogLine:
    return LogLine(
        time=_time(message),
        node=message.node,
        job=message.job_id,
        level=message.level,
        text=beginning(message.data),
    )


def _time(message: NodeMessage) -> str:
    return datetime.fromtimestamp(message.epoch / 1000, UTC).isoformat(timespec="milliseconds")


def milliseconds(text: str, now: float) -> int | None:
    """Return a moment in milliseconds since the epoch; None for "". Raise `BadInput`."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return int((now - parse_duration(text)) * 1000)
        except BadInput as error:
            raise BadInput(
                f"'{text[:100]}' is neither a time nor a duration.", hint='Write "2026-11-30T15:00:00Z" or "15m".'
            ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


TOOLS = (
    Tool(
        name="read_logs",
        title="Read logs",
        description=(
            "Read what programs printed on the nodes: of one service, of one command, or of everything, filtered by"
            " level, text, time and node, the newest first. Nodes are asked live; of an offline node only what it had"
            " forwarded (levels 3, 4, 7-9) is found, and `problems` says so."
            " For counts over long times use `query` on the table `messages`."
        ),
        arguments=ReadLogs,
        answer=LogLines,
        call=read_logs,
    ),
)
