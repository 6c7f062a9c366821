"""Sessions over the real wire: which agents are accepted or replaced, what is pushed, what is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest

from quarterdeck.link.certificates import Credentials, new_key, new_request
from quarterdeck.link.frames import encode
from quarterdeck.link.grpc.agent import GrpcAgentLink
from quarterdeck.link.https.agent import HttpsAgentLink
from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.link.messages import (
    PROTOCOL_VERSION,
    ArtefactChunk,
    Desired,
    FactsChanged,
    FileChunk,
    FileOffer,
    FileStored,
    FromAgent,
    Heartbeat,
    Hello,
    JobsStarted,
    JobsTaken,
    NewCertificate,
    PlacementReport,
    Refused,
    RenewCertificate,
    TelemetryAck,
    TelemetryBatch,
    ToAgent,
    WantArtefact,
    WantFile,
    Welcome,
)
from quarterdeck.link.wire import AgentLink, Stream
from quarterdeck.model.errors import (
    BadConfig,
    BadFrame,
    Conflict,
    QuarterdeckError,
    Revoked,
    Unauthenticated,
    Unavailable,
)
from quarterdeck.model.nodes import AgentIdentity, Facts, NodeKey
from quarterdeck.testing.fleet import MemoryFleet
from quarterdeck.testing.link import LinkServer
from quarterdeck.testing.placements import desired_set
from tests.support import until

HELLO = Hello(protocol=PROTOCOL_VERSION, facts=Facts(hostname="web-1"), labels={"role": "web"})
Control = Stream[ToAgent, FromAgent]


@asynccontextmanager
async def linked(
    server: LinkServer, credentials: Credentials | None = None
) -> AsyncIterator[tuple[AgentLink, Control]]:
    """An agent that was welcomed and has its first desired set."""
    link = server.link(credentials or server.credentials())
    control = link.control()
    await control.send(HELLO)
    assert isinstance(await control.receive(), Welcome)
    assert isinstance(await control.receive(), Desired)
    yield link, control
    await link.close()


async def refusal(receive: Callable[[], Awaitable[object]]) -> QuarterdeckError:
    """Return the error with which the server ends a stream, skipping messages before it."""
    try:
        while await receive() is not None:
            pass
    except QuarterdeckError as error:
        return error
    raise AssertionError("the server ended the stream as if all were well")


def batch(seq: int, body: bytes = b"rows") -> TelemetryBatch:
    return TelemetryBatch(epoch="e", seq=seq, floor=1, table="t", fingerprint="f", rows=1, body=body)


async def test_hello_is_answered_by_welcome_and_the_desired_set(server: LinkServer) -> None:
    server.fleet.sets[1, 7] = desired_set(5)
    link = server.link(server.credentials(nid=7))
    control = link.control()
    await control.send(HELLO)
    welcome, desired = await control.receive(), await control.receive()
    assert isinstance(welcome, Welcome)
    assert (welcome.gid, welcome.nid) == (1, 7)
    assert desired == Desired(desired=desired_set(5))
    assert server.sessions.online() == {"agent-7"}
    assert server.fleet.here["agent-7"] == HELLO
    await link.close()
    await until(lambda: server.fleet.departures == ["agent-7"])
    assert server.sessions.online() == set()


async def test_pushes_are_coalesced_to_the_latest_set(server: LinkServer) -> None:
    async with linked(server) as (_, control):
        for revision in range(1, 51):
            server.fleet.sets[1, 1] = desired_set(revision)
            server.fleet.desired_links.wake([NodeKey(1, 1)])
        received = [await control.receive()]
        while received[-1] != Desired(desired=desired_set(50)):
            received.append(await control.receive())
        assert len(received) < 50
        server.fleet.desired_links.wake([NodeKey(9, 9)])  # not here: nothing happens


async def test_reports_reach_the_fleet_under_the_certificates_identity(server: LinkServer) -> None:
    async with linked(server, server.credentials(gid=3, nid=4, agent_id="four")) as (_, control):
        report = PlacementReport(kind="module", revision=2, statuses=())
        await control.send(report)
        await until(lambda: server.fleet.received_messages)
        agent, message = server.fleet.received_messages[0]
        assert (agent.gid, agent.nid, agent.agent_id, message) == (3, 4, "four", report)


async def test_heartbeats_are_told_to_the_fleet_in_batches(server: LinkServer) -> None:
    server.seen_interval_s = 0.05
    await server.stop()
    await server.start()
    async with linked(server) as (_, control):
        await until(lambda: "agent-1" in server.fleet.heard)
        server.fleet.heard.clear()
        await control.send(Heartbeat(sent_at=1.0))
        await until(lambda: "agent-1" in server.fleet.heard)


async def test_an_agent_that_left_is_not_told_as_heard(server: LinkServer) -> None:
    server.seen_interval_s = 0.2
    await server.stop()
    await server.start()
    async with linked(server):
        pass
    await until(lambda: server.fleet.departures == ["agent-1"])
    server.fleet.heard.clear()
    await asyncio.sleep(0.4)
    assert not server.fleet.heard


async def test_artefacts_come_in_chunks_from_any_offset(server: LinkServer) -> None:
    content = bytes(range(256)) * 6000
    digest = server.fleet.add_artefact(content)
    async with linked(server) as (_, control):
        await control.send(WantArtefact(sha256=digest))
        await control.send(WantArtefact(sha256=digest, offset=ARTEFACT_CHUNK_BYTES))
        await control.send(WantArtefact(sha256="0" * 64))
        first, second, none = [await control.receive() for _ in range(3)]
        assert isinstance(first, ArtefactChunk)
        assert isinstance(second, ArtefactChunk)
        assert first.data + second.data == content
        assert first.size == len(content)
        problem = "No object of this name exists."
        assert none == ArtefactChunk(sha256="0" * 64, offset=0, size=-1, data=b"", problem=problem)


async def test_a_certificate_is_renewed_over_the_link(server: LinkServer) -> None:
    async with linked(server) as (_, control):
        await control.send(RenewCertificate(csr_pem=new_request(new_key(), "x")))
        answer = await control.receive()
        assert isinstance(answer, NewCertificate)
        assert answer.ca_pem == server.authority.pem


async def test_a_revoked_certificate_is_refused_and_logged(
    server: LinkServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.fleet.revoked.add("agent-1")
    link = server.link(server.credentials())
    control = link.control()
    await control.send(HELLO)
    answer = await control.receive()
    assert isinstance(answer, Refused)
    assert answer.code == "revoked"
    assert isinstance(await refusal(control.receive), Revoked)
    assert "revoked" in caplog.text
    assert "127.0.0.1" in caplog.text
    await link.close()
    assert server.fleet.departures == []


async def test_an_agent_is_disconnected_when_it_is_removed(server: LinkServer) -> None:
    async with linked(server) as (link, control):
        telemetry = link.telemetry()
        await server.sessions.disconnect("agent-1")
        answer = await control.receive()
        assert isinstance(answer, Refused)
        assert answer.code == "revoked"
        # a stream that only now reaches the server finds no welcome any more
        assert isinstance(await refusal(telemetry.receive), (Unauthenticated, Unavailable))


async def test_a_second_connection_replaces_the_first(server: LinkServer) -> None:
    credentials = server.credentials()
    async with linked(server, credentials) as (_, first), linked(server, credentials) as (_, second):
        answer = await first.receive()
        assert isinstance(answer, Refused)
        assert answer.code == "conflict"
        assert isinstance(await refusal(first.receive), Conflict)
        server.fleet.sets[1, 1] = desired_set(9)
        server.fleet.desired_links.wake([NodeKey(1, 1)])
        assert await second.receive() == Desired(desired=desired_set(9))
        assert server.fleet.departures == []
    await until(lambda: server.fleet.departures == ["agent-1"])


async def test_a_foreign_certificate_fails_the_handshake_and_is_logged_with_its_address(
    server: LinkServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.patience_s = 0.1
    await server.stop()
    await server.start()
    foreign = LinkServer(tmp_path / "foreign").credentials()
    link = server.link(
        Credentials(key_pem=foreign.key_pem, certificate_pem=foreign.certificate_pem, ca_pem=server.authority.pem)
    )
    with pytest.raises(Unavailable):
        await link.control().receive()
    await link.close()
    await until(lambda: "refused 127.0.0.1 port" in caplog.text)
    assert server.fleet.arrivals == []


async def test_an_agent_does_not_talk_to_another_server(server: LinkServer, tmp_path: Path) -> None:
    foreign = LinkServer(tmp_path / "foreign").credentials()
    link = server.link(foreign)
    with pytest.raises(Unavailable, match="is it another server"):
        await link.control().receive()
    await link.close()


@pytest.mark.parametrize("frame", [b"", b"\xc1\xc1", b"GET / HTTP/1.1\r\n\r\n", encode(HELLO)[:-3]])
async def test_bad_bytes_end_that_stream_only(
    server: LinkServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, frame: bytes
) -> None:
    async with linked(server, server.credentials(nid=2)) as (_, good):
        link = server.link(server.credentials(nid=1))
        control = link.control()
        await control.send(HELLO)
        assert isinstance(await control.receive(), Welcome)
        assert isinstance(await control.receive(), Desired)
        with monkeypatch.context() as patched:
            patched.setattr(f"quarterdeck.link.{server.carrier}.agent.encode", lambda _: frame)
            await control.send(HELLO)
        assert isinstance(await refusal(control.receive), BadFrame)
        assert "bad_frame" in caplog.text
        assert "127.0.0.1" in caplog.text
        await link.close()
        server.fleet.sets[1, 2] = desired_set(3)
        server.fleet.desired_links.wake([NodeKey(1, 2)])
        assert await good.receive() == Desired(desired=desired_set(3))


async def test_a_message_of_a_newer_agent_is_passed_over(server: LinkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with linked(server) as (_, control):
        with monkeypatch.context() as patched:
            patched.setattr(f"quarterdeck.link.{server.carrier}.agent.encode", lambda _: b"\x81\xa4type\xa6future")
            await control.send(Heartbeat(sent_at=1.0))
        await control.send(PlacementReport(kind="module", revision=1, statuses=()))
        await until(lambda: server.fleet.received_messages)


@pytest.mark.parametrize(
    ("first", "error"),
    [(Heartbeat(sent_at=1.0), BadFrame), (Hello(protocol=99, facts=Facts()), Conflict)],
)
async def test_a_connection_must_begin_with_a_hello_of_this_protocol(
    server: LinkServer, first: FromAgent, error: type[QuarterdeckError]
) -> None:
    link = server.link(server.credentials())
    control = link.control()
    await control.send(first)
    assert isinstance(await refusal(control.receive), error)
    await link.close()


async def test_a_second_hello_is_a_bad_frame(server: LinkServer) -> None:
    async with linked(server) as (_, control):
        await control.send(HELLO)
        assert isinstance(await refusal(control.receive), BadFrame)


async def test_methods_that_are_not_listed_do_not_exist(server: LinkServer) -> None:
    link = server.link(server.credentials())
    for path in ("/quarterdeck.Link/Shutdown", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
        if isinstance(link, GrpcAgentLink):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await link._channel.unary_unary(path)(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        elif isinstance(link, HttpsAgentLink):
            answer = await link._up.post(path, b"", headers={}, timeout_s=10.0, repeat=False)
            assert answer[0] == 404
    await link.close()


async def test_telemetry_is_acknowledged_when_stored_several_in_flight(server: LinkServer) -> None:
    async with linked(server) as (link, _):
        telemetry = link.telemetry()
        for seq in range(1, 101):
            await telemetry.send(batch(seq))
        acked: set[int] = set()
        while len(acked) < 100:
            ack = await telemetry.receive()
            assert ack is not None
            acked |= set(ack.seqs)
        assert len(server.fleet.batches) == 100


async def test_telemetry_is_refused_without_a_live_control_stream(server: LinkServer) -> None:
    link = server.link(server.credentials())
    telemetry = link.telemetry()
    assert isinstance(await refusal(telemetry.receive), Unauthenticated)
    await link.close()


async def test_telemetry_ends_with_its_control_stream(server: LinkServer) -> None:
    async with linked(server) as (link, _):
        telemetry = link.telemetry()
        await telemetry.send(batch(1))
        assert await telemetry.receive() == TelemetryAck(epoch="e", seqs=(1,))
        await server.sessions.disconnect("agent-1", Unavailable("moved"))
        assert isinstance(await refusal(telemetry.receive), Unavailable)


async def test_a_full_store_asks_for_patience(server: LinkServer) -> None:
    full = Unavailable("full")
    full.retry_after_s = 2.5
    server.fleet.refuse_telemetry = full
    async with linked(server) as (link, _):
        telemetry = link.telemetry()
        await telemetry.send(batch(1))
        assert await telemetry.receive() == TelemetryAck(epoch="e", seqs=(), retry_after_s=2.5)
        server.fleet.refuse_telemetry = None
        await telemetry.send(batch(1))
        assert await telemetry.receive() == TelemetryAck(epoch="e", seqs=(1,))


async def test_an_address_in_use_is_refused_in_words(server: LinkServer, tmp_path: Path) -> None:
    second = LinkServer(tmp_path / "second", carrier=server.carrier)
    second.bound = server.bound
    with pytest.raises(BadConfig, match=r"cannot listen on [^ ]+\d(: .*[^.])?\. Is another") as caught:
        await second.start()
    assert "--link" in caught.value.hint


async def test_stopping_tells_every_agent(server: LinkServer) -> None:
    async with (
        linked(server, server.credentials(nid=1)) as (_, one),
        linked(server, server.credentials(nid=2)) as (_, two),
    ):
        stopping = asyncio.create_task(server.stop())
        for control in (one, two):
            answer = await control.receive()
            assert isinstance(answer, Refused)
            assert answer.code == "unavailable"
        await stopping
        assert sorted(server.fleet.departures) == ["agent-1", "agent-2"]
        await server.start()


async def test_a_file_goes_up_as_the_server_asks_for_it_beside_all_else(server: LinkServer) -> None:
    content = bytes(range(256)) * 6000
    sha256 = server.fleet.add_artefact(content)
    async with linked(server) as (_, control):
        await control.send(FileOffer(job="j", sha256=sha256, size=len(content), name="/var/log/x"))
        while not isinstance(answer := await control.receive(), FileStored):
            assert isinstance(answer, WantFile)
            data = content[answer.offset : answer.offset + ARTEFACT_CHUNK_BYTES]
            await control.send(FileChunk(sha256=sha256, offset=answer.offset, data=data))
        assert answer == FileStored(sha256=sha256)
        assert server.fleet.pulled == {sha256: content}


async def test_telling_who_is_seen_goes_on_after_a_fault(server: LinkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every agent would be taken for silent, and for gone, while it is linked."""
    server.seen_interval_s = 0.01
    await server.stop()
    faults = iter([ValueError("a fault of ours"), asyncio.CancelledError()])
    seen = type(server.fleet).seen

    async def faulty(fleet: MemoryFleet, agents: Sequence[AgentIdentity]) -> None:
        for fault in faults:
            raise fault
        await seen(fleet, agents)

    monkeypatch.setattr(type(server.fleet), "seen", faulty)
    await server.start()
    async with linked(server) as (_, control):
        await until(lambda: next(faults, None) is None)
        server.fleet.heard.clear()

        async def heard() -> bool:
            await control.send(Heartbeat(sent_at=1.0))
            return "agent-1" in server.fleet.heard

        await until(heard)


WORST: list[FromAgent] = [
    JobsTaken(ids=("j",) * 1001),
    JobsTaken(ids=("job",) * 3_000_000),
    JobsStarted(ids=("j" * 129,)),
    Hello(protocol=PROTOCOL_VERSION, facts=Facts(addresses=("a",) * 70_000)),
    FactsChanged(facts=Facts(hostname="h" * 1025)),
    FileOffer(job="j", sha256="s", size=1, name="n" * 2_000_000),
]


@pytest.mark.parametrize("message", WORST, ids=lambda message: type(message).__name__)
async def test_a_message_that_is_larger_than_its_kind_ends_its_own_link_alone(
    server: LinkServer, message: FromAgent, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        linked(server, server.credentials(nid=1, agent_id="one")) as (_, rogue),
        linked(server, server.credentials(nid=2, agent_id="two")) as (_, other),
    ):
        await rogue.send(message)
        assert isinstance(await refusal(rogue.receive), BadFrame)
        await other.send(WantArtefact(sha256="0" * 64))
        assert isinstance(await other.receive(), ArtefactChunk)
    assert sum(len(record.getMessage()) for record in caplog.records) < 10_000
