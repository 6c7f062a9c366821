"""Live streams: resumed where they stopped, without haste."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import msgspec
import pytest

from quarterdeck.client import Client, Endpoint, events
from quarterdeck.client import synchronous as module
from quarterdeck.model.errors import NotFound, to_problem
from quarterdeck.model.jobs import Job, JobState
from quarterdeck.model.queries import TailRows


def test_a_table_is_one_segment_of_the_path() -> None:
    assert events.tail("a/../b?c", where="", cursor="").path == "/api/v1/tables/a%2F..%2Fb%3Fc/tail"


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
    client = Client(Endpoint(url="http://deck", token="t"))
    client._http = httpx.Client(base_url="http://deck", transport=httpx.MockTransport(answer))
    stream: Iterator[TailRows] = client.tail("execs")
    assert [next(stream).cursor for _ in range(2)] == ["c1", "c4"]
    assert asked == ["", "c1", "c1", "c1"]
    assert pauses == [events.RESUME_S] * 3


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
    client = Client(Endpoint(url="http://deck", token="t"))
    client._http = httpx.Client(base_url="http://deck", transport=httpx.MockTransport(answer))
    assert [job.state for job in client.follow_command("c")] == [JobState.QUEUED, JobState.ACCEPTED, JobState.OK]
    assert asked == [None, "8", "8"]


def test_following_what_is_not_there_says_so() -> None:
    problem = to_problem(NotFound("There is no command 'x'."))
    transport = httpx.MockTransport(lambda _: httpx.Response(404, content=msgspec.json.encode(problem)))
    client = Client(Endpoint(url="http://deck", token="t"))
    client._http = httpx.Client(base_url="http://deck", transport=transport)
    with pytest.raises(NotFound, match="no command 'x'"):
        next(client.follow_command("x"))
