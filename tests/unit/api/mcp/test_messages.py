"""The tool that reads logs: moments, filters and what is left out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from quarterdeck.api.mcp.bounds import TEXT_CHARS
from quarterdeck.api.mcp.messages import ReadLogs, milliseconds, read_logs
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.messages import FoundMessages, MessageFilter, NodeMessage
from quarterdeck.model.nodes import Selector
from tests.telemetry import VIEWER


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("1970-01-01T00:01:00Z", 60_000),
        ("1970-01-01T01:01:00+01:00", 60_000),
        ("1970-01-01 00:01", 60_000),
        ("15m", 100_000),
        ("1h", -2_600_000),
    ],
)
def test_a_moment_is_a_time_or_a_duration(text: str, found: int | None) -> None:
    assert milliseconds(text, now=1000.0) == found


def test_another_text_is_no_moment() -> None:
    with pytest.raises(BadInput, match="neither a time nor a duration"):
        milliseconds("yesterday", now=0.0)


class Messages:
    def __init__(self, *texts: str) -> None:
        self._texts = texts
        self.asked: list[tuple[Selector, MessageFilter, str]] = []

    async def select(self, selector: Selector, wanted: MessageFilter, *, cursor: str = "") -> FoundMessages:
        self.asked.append((selector, wanted, cursor))
        found = tuple(
            NodeMessage(id=n, job_id="j", epoch=1500, level=7, data=text, gid=1, nid=2, node="web-1")
            for n, text in enumerate(self._texts)
        )
        return FoundMessages(messages=found, cursor="next", problems=("db-1 is offline.",))


class Services:
    async def show(self, name: str) -> None:
        if name != "shop":
            raise NotFound


async def read(messages: Messages, **asked: Any) -> Any:
    backend: Any = SimpleNamespace(messages=messages, services=Services())
    return await read_logs(backend, ReadLogs(**asked), VIEWER)


async def test_lines_have_their_time_and_node_and_the_next_page() -> None:
    messages = Messages("hello")
    found = await read(messages, service="shop", text="h", levels="7-9", limit=5, cursor="c")
    (line,) = found.lines
    assert (line.time, line.node, line.job, line.level) == ("1970-01-01T00:00:01.500+00:00", "web-1", "j", 7)
    assert (found.problems, found.cursor, found.cut) == (("db-1 is offline.",), "next", "")
    ((_, wanted, cursor),) = messages.asked
    assert (wanted.job_id, wanted.text, wanted.levels, wanted.limit) == ("service/shop", "h", "7-9", 5)
    assert (wanted.newest_first, cursor) == (True, "c")


async def test_lines_that_do_not_fit_are_left_out_and_the_cursor_with_them() -> None:
    found = await read(Messages(*["x" * (TEXT_CHARS + 1)] * 20))
    assert 0 < len(found.lines) < 20
    assert (found.cursor, f"limit={len(found.lines)}" in found.cut) == ("", True)
    assert found.lines[0].text.endswith("… [1 characters cut]")


async def test_a_service_that_does_not_exist_or_two_sources_are_refused() -> None:
    with pytest.raises(NotFound):
        await read(Messages(), service="shp")
    with pytest.raises(BadInput, match="both"):
        await read(Messages(), service="shop", job="j")
