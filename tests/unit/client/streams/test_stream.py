"""Live streams: resumed where they stopped, with pauses."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import msgspec
import pytest

from quarterdeck.client import Client, Endpoint
from quarterdeck.client.streams.absence import ABSENCE_S
from quarterdeck.client.streams.stream import RESUME_S
from quarterdeck.client.streams.tables import TailStream
from quarterdeck.client.synchronous import connection as module
from quarterdeck.model.errors import NotFound, Unavailable, to_problem
from quarterdeck.model.jobs import Job, JobState
from quarterdeck.model.messages import Message
from quarterdeck.model.output import NodeMessages
from quarterdeck.model.queries import TailRows


def test_a_table_is_one_segment_of_the_path() -> None:
    assert TailStream("a/../b?c").path == "/api/v1/tables/a%2F..%2Fb%3Fc/tail"


def test_a_lost_stream_is_resumed_at_its_cursor_and_not_in_a_busy_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("cursor", ""))
        if len(asked) in {2, 3}:
            raise httpx.ConnectError("the server restarts")
        rows = TailRows(columns=(), rows=[[len(asked)]], cursor=f"c{len(asked)}")
        return httpx.Response(200, content=b"data: " + msgspec.json.encode(rows) + b"\n\n")

    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    client = Client(Endpoint(url="http://deck", token="t"), transport=httpx.MockTransport(answer))
    stream: Iterator[TailRows] = client.tables.tail("execs")
    assert [next(stream).cursor for _ in range(2)] == ["c1", "c4"]
    assert asked == ["", "c1", "c1", "c1"]
    assert pauses == [RESUME_S] * 3


def _job(state: JobState) -> Job:
    return Job(id="c", gid=1, nid=1, node_name="web-1", cmd="ping", state=state)


def _event(kind: str, cursor: str, data: str) -> bytes:
    return f"id: {cursor}\r\nevent: {kind}\r\ndata: {data}\r\n\r\n".encode()


def test_a_command_is_followed_over_a_lost_connection_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("last-event-id"))
        if len(asked) == 2:
            raise httpx.ConnectError("the server restarts")
        if len(asked) == 1:
            states = [JobState.QUEUED, JobState.ACCEPTED]
            body = b": still here\r\n\r\n" + b"".join(
                _event("job", str(at), msgspec.json.encode(_job(state)).decode()) for at, state in enumerate(states, 7)
            )
            return httpx.Response(200, content=body)
        body = _event("job", "9", msgspec.json.encode(_job(JobState.OK)).decode())
        return httpx.Response(200, content=body + _event("news", "10", "of a newer server") + _event("end", "9", ""))

    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    client = Client(Endpoint(url="http://deck", token="t"), transport=httpx.MockTransport(answer))
    assert [job.state for job in client.commands.follow("c")] == [JobState.QUEUED, JobState.ACCEPTED, JobState.OK]
    assert asked == [None, "8", "8"]


@pytest.mark.parametrize("begins", [b"", b": still here\r\n\r\n"], ids=["cut", "silent"])
def test_a_server_that_is_away_is_tried_again_and_said_to_be_away(
    monkeypatch: pytest.MonkeyPatch, begins: bytes
) -> None:
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            return httpx.Response(200, content=begins)
        if asked == 40:
            return httpx.Response(
                200, content=_event("job", "7", msgspec.json.encode(_job(JobState.ACCEPTED)).decode())
            )
        raise httpx.ConnectError("refused", request=request)

    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    client = Client(Endpoint(url="http://deck", token="t"), transport=httpx.MockTransport(answer))
    said: list[float] = []
    client.absent = said.append
    following = client.commands.follow("c")
    assert next(following).state is JobState.ACCEPTED
    assert said == [ABSENCE_S]
    assert asked == 40


def test_a_server_that_never_answered_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    monkeypatch.setattr(module.time, "sleep", pytest.fail)
    client = Client(Endpoint(url="http://deck", token="t"), transport=httpx.MockTransport(refuse))
    with pytest.raises(Unavailable):
        next(client.commands.follow("c"))


def _messages(*texts: str) -> str:
    lines = tuple(Message(id=at, job_id="c", epoch=0, level=1, data=text) for at, text in enumerate(texts))
    return msgspec.json.encode(NodeMessages(gid=1, nid=1, node_name="web-1", messages=lines)).decode()


def test_output_that_was_cut_within_a_group_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    running, over = (msgspec.json.encode(_job(state)).decode() for state in (JobState.RUNNING, JobState.OK))
    bodies = [
        _event("job", "7", running) + f"event: messages\r\ndata: {_messages('a')}\r\n\r\n".encode(),
        _event("messages", "7.x", _messages("a", "b")) + _event("news", "7.y", "of a newer server") + b"id: 9\r\nev",
        f"event: messages\r\ndata: {_messages('c')}\r\n\r\n".encode()
        + _event("job", "9", over)
        + _event("end", "", "{}"),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("last-event-id"))
        return httpx.Response(200, content=bodies[len(asked) - 1])

    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    client = Client(Endpoint(url="http://deck", token="t"), transport=httpx.MockTransport(answer))
    seen: list[str] = []
    for event in client.commands.output("c"):
        seen += [event.state] if isinstance(event, Job) else [message.data for message in event.messages]
    assert seen == ["RUNNING", "a", "b", "c", "OK"]
    assert asked == [None, "7", "7.y"]


def test_output_of_now_needs_no_ids() -> None:
    bodies: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(str(request.url.query))
        return httpx.Response(200, content=f"event: messages\ndata: {_messages('a')}\n\nevent: end\ndata: {{}}\n\n")

    client = Client(Endpoint(url="http://deck", token="t"), transport=httpx.MockTransport(answer))
    (event,) = client.commands.output("c", follow=False)
    assert isinstance(event, NodeMessages)
    assert bodies == ["b'follow=false'"]


def test_following_what_is_not_there_says_so() -> None:
    problem = to_problem(NotFound("There is no command 'x'."))
    transport = httpx.MockTransport(lambda _: httpx.Response(404, content=msgspec.json.encode(problem)))
    client = Client(Endpoint(url="http://deck", token="t"), transport=transport)
    with pytest.raises(NotFound, match="no command 'x'"):
        next(client.commands.follow("x"))
