"""get_msgs and del_msgs: filters by either name, whole pages, and the number of deleted messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarterdeck.agent.commands.messages import ANSWER_BYTES, CUT_CHARACTERS, message_commands
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.messages import DeletedMessages, LogLevels, MessagePage

KEPT = Routing.of(LogLevels(loglevels_ac=""))


class Node:
    def __init__(self, log: MessageLog) -> None:
        self.log = log
        self._commands = message_commands(log)

    async def printed(self, *texts: bytes, job: str = "job", level: int = 1, at_ms: int = 1000) -> None:
        run = Run(Source(job, "shop", "web"), at_ms, [level] * len(texts), texts, [0] * len(texts))
        await self.log.put(run, KEPT)

    async def run(self, cmd: str, data: str = "", **arguments: Any) -> str:
        outcome = await self._commands[cmd].run(JobOffer(id="j", cmd=cmd, args=arguments, data=data))
        assert len(outcome.data) <= ANSWER_BYTES
        return outcome.data

    async def get(self, data: str = "", **arguments: Any) -> MessagePage:
        return msgspec.json.decode(await self.run("get_msgs", data, **arguments), type=MessagePage)

    async def texts(self, data: str = "", **arguments: Any) -> list[str]:
        return [message.data for message in (await self.get(data, **arguments)).messages]

    async def delete(self, **arguments: Any) -> int:
        return msgspec.json.decode(await self.run("del_msgs", **arguments), type=DeletedMessages).deleted


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    log = MessageLog(tmp_path, outlet=Outlet(emit=lambda *_: None, lose=lambda _: None))
    yield Node(log)
    await log.close()


async def test_every_filter_narrows_by_our_name_and_the_documents(node: Node) -> None:
    await node.printed(b"one", at_ms=1000)
    await node.printed(b"two", job="other", level=7, at_ms=2000)
    assert await node.texts() == ["one", "two"]
    assert await node.texts(job_id="other") == await node.texts(jobid="other") == ["two"]
    assert await node.texts('{"jobid": "job"}') == ["one"]
    assert await node.texts(timefrom=2000) == await node.texts(time_from=2000) == ["two"]
    assert await node.texts(timeto=2000) == await node.texts(time_to=2000) == ["one"]
    assert await node.texts(levels="7") == await node.texts(levels=7) == await node.texts(levels="2-9") == ["two"]
    assert await node.texts(levels="*", text="wo") == ["two"]
    assert await node.texts(domain="shop", name="api") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"job_id": "a", "jobid": "b"}, "found both"),
        ({"levels": "loud"}, "neither a level nor a range"),
        ({"limit": 1001}, "1 to 1000"),
        ({"colour": "red"}, "takes the arguments"),
        ({"timefrom": "yesterday"}, "timefrom is a whole number or nothing; found a text."),
    ],
)
async def test_wrong_arguments_are_refused_in_words(node: Node, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        await node.get(**arguments)


async def test_the_first_thousand_and_a_cursor_for_the_rest(node: Node) -> None:
    await node.printed(*(b"%d" % number for number in range(1500)))
    page = await node.get()
    assert (len(page.messages), page.cursor is None) == (1000, False)
    rest = await node.get(cursor=page.cursor)
    assert [message.data for message in rest.messages] == [str(number) for number in range(1000, 1500)]
    assert rest.cursor is None


@pytest.mark.parametrize("text", [b"x" * 1000, b"\x01" * 1000, b"\xff" * 1000, b'"' * 1000])
async def test_an_answer_is_small_enough_to_be_kept_whole_whatever_is_in_it(node: Node, text: bytes) -> None:
    await node.printed(*([text] * 500))
    found, cursor = 0, ""
    while True:
        page = await node.get(cursor=cursor)
        found += len(page.messages)
        assert page.messages
        if page.cursor is None:
            break
        cursor = page.cursor
    assert found == 500


async def test_a_message_larger_than_an_answer_is_cut_and_said_so(node: Node) -> None:
    await node.printed(b"\x01" * 250_000, b"next")
    page = await node.get()
    assert [len(message.data) for message in page.messages] == [CUT_CHARACTERS]
    assert "250000 characters" in page.problems[0]
    assert await node.texts(cursor=page.cursor) == ["next"]


async def test_what_is_deleted_is_counted_and_gone(node: Node) -> None:
    await node.printed(*(b"%d" % number for number in range(1200)))
    await node.printed(b"stays", job="other")
    assert await node.delete(jobid="job") == 1200
    assert await node.texts() == ["stays"]
    with pytest.raises(BadInput, match="takes the arguments"):
        await node.delete(limit=1)
    assert await node.delete() == 1
