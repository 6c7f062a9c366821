"""Damaged files and foreign bytes: a server reports them and changes nothing; a running server continues."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from quarterdeck.agent.identity import load_identity
from quarterdeck.link.certificates import SERVER_NAME
from quarterdeck.link.frames import encode
from quarterdeck.link.grpc.channel import CONTROL, TELEMETRY
from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.errors import StorageCorrupt
from quarterdeck.model.jobs import CreateCommand, Job, JobState, is_final
from quarterdeck.model.messages import FoundMessages, MessageFilter
from quarterdeck.model.nodes import AgentState, Selector
from tests.counted import Storm, counted, deploy, settled
from tests.fleet import Fleet, eventually
from tests.support import require

NAME = "calls"


def _damage(file: Path, offset: int, content: bytes) -> bytes:
    """Overwrite a part of a file; return its new contents."""
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(content)
    return file.read_bytes()


@pytest.mark.parametrize("offset", [0, 4096])
def test_a_damaged_state_store_ends_the_start_in_words_and_is_left_as_it_is(tmp_path: Path, offset: int) -> None:
    with Fleet(tmp_path) as fleet:
        state = fleet.server.home / "state.db"
        assert fleet.server.stop() == 0
        damaged = _damage(state, offset, os.urandom(4096))
        assert fleet.server.start().wait() == StorageCorrupt.exit_code
        said = fleet.server.tail()
        assert f"Expected a sound state store in {state}" in said
        assert "backup" in said
        assert "Traceback" not in said
        assert state.read_bytes() == damaged
        assert not list(state.parent.glob("state.db-*"))


def test_a_damaged_telemetry_store_ends_the_start_in_words(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        telemetry = fleet.server.home / "telemetry"
        assert fleet.server.stop() == 0
        (definition,) = telemetry.glob("store/*/*/losses.sql")
        definition.write_bytes(b"")
        assert fleet.server.start().wait() == StorageCorrupt.exit_code
        said = fleet.server.tail()
        assert f"The telemetry store below {telemetry} cannot be opened" in said
        assert "backup" in said
        assert "Traceback" not in said
        assert definition.read_bytes() == b""


def _asked(fleet: Fleet, cmd: str, /, **arguments: object) -> str:
    """The id of a command that the node 'one' was asked for."""
    request = CreateCommand(cmd=cmd, args=arguments, selector=Selector(nodes=("one",)))
    return fleet.client.commands.create(request).id


def _ended(fleet: Fleet, command_id: str) -> Job:
    return eventually(
        lambda: next((job for job in fleet.client.commands.get(command_id).jobs if is_final(job.state)), None),
        f"the result of {command_id}",
    )


def _printed(fleet: Fleet, command_id: str) -> FoundMessages:
    def look() -> FoundMessages | None:
        found = fleet.client.messages.list(MessageFilter(job_id=command_id))
        return found if found.messages else None

    return eventually(look, f"messages of {command_id}")


def test_a_node_says_that_its_messages_and_its_jobs_were_damaged_and_goes_on(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        agent = fleet.join("one")
        runs = _asked(fleet, "execute", cmd="sh", args=["-c", "echo $$; exec sleep 600"])
        pid = int(_printed(fleet, runs).messages[0].data)
        agent.kill()
        for name in ("messages/current.db", "jobs.db"):
            for rest in ("-wal", "-shm"):
                (agent.home / "agent" / f"{name}{rest}").unlink(missing_ok=True)
            (agent.home / "agent" / name).write_bytes(os.urandom(20_000))
        agent.start()
        eventually(lambda: "has no record of its job" in agent.log.read_text(), "what the agent says of the program")
        assert Path(f"/proc/{pid}").exists(), "it goes on"
        fleet.client.commands.kill(runs)
        assert _ended(fleet, runs).state is JobState.KILLED
        eventually(lambda: not Path(f"/proc/{pid}").exists(), "the end of the program")
        again = _asked(fleet, "execute", cmd="sh", args=["-c", "echo here"])
        assert _ended(fleet, again).state is JobState.OK
        found = _printed(fleet, again)
        assert [message.data for message in found.messages] == ["here"]
        (problem,) = found.problems
        assert problem.startswith("one: ")
        assert "was damaged and is set aside; its messages are missing" in problem
        assert "It is set aside as" in agent.log.read_text()
        assert list((agent.home / "agent" / "messages").glob("*.damaged"))
        assert list((agent.home / "agent").glob("jobs.db.damaged-*"))


# ── foreign bytes on both ports ──────────────────────────────────────────────────────────────────────────────────────
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FOREIGN = (
    b"",
    b"\x00",
    os.urandom(65536),
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{",
    b"POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    PREFACE,
    PREFACE + b"\xff\xff\xff\x04\x00\x00\x00\x00\x00" + bytes(100),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS ClientHello that ends early
    b"\x16\x03\x01\xff\xff" + os.urandom(4096),
)
BATCH = TelemetryBatch(
    epoch="foreign", seq=1, floor=0, table="foreign", fingerprint="none", rows=7, body=os.urandom(500), losses=()
)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A server and a node on which the module runs."""
    require(os.geteuid() == 0, "loading eBPF programs needs root")
    with Fleet(tmp_path) as running:
        running.join("one")
        deploy(running.client, counted(NAME), NAME)
        running.wait_running(NAME, "one")
        yield running


def _throw(address: str, content: bytes) -> None:
    """Send bytes to a port, end in the middle, and listen to what comes back until the other side has enough."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection, suppress(OSError):
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(1)
        while connection.recv(65536):
            pass


def _say(fleet: Fleet, method: str, *frames: bytes) -> grpc.StatusCode:
    """Say something on the link with the node's own certificate; how the server ended it."""
    identity = load_identity(fleet.folder / "one" / "agent")
    assert identity is not None
    own = identity.credentials
    tls = grpc.ssl_channel_credentials(own.ca_pem, own.key_pem, own.certificate_pem)
    options = (("grpc.ssl_target_name_override", SERVER_NAME),)
    with grpc.secure_channel(fleet.link, tls, options=options) as channel:
        call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
        ending = call(iter(frames), timeout=10)
        with suppress(grpc.RpcError):
            for _ in ending:
                pass
        return ending.code()


def test_foreign_bytes_on_both_ports_disturb_nobody(fleet: Fleet) -> None:
    with Storm() as storm, ExitStack() as silent:
        for address in (fleet.link, fleet.http):
            host, _, port = address.rpartition(":")
            for _ in range(50):  # they connect and never say a word
                silent.enter_context(socket.create_connection((host, int(port))))
            for content in FOREIGN:
                _throw(address, content)
        whole = encode(BATCH)
        for frame in (b"", b"\xc1", os.urandom(1000), whole[:-1], whole[: len(whole) // 2], whole + b"\x00"):
            assert _say(fleet, TELEMETRY, frame) is grpc.StatusCode.INVALID_ARGUMENT
            assert _say(fleet, CONTROL, frame) is grpc.StatusCode.INVALID_ARGUMENT
        assert _say(fleet, "/quarterdeck.Link/Nothing", b"x") is grpc.StatusCode.UNIMPLEMENTED
        assert _say(fleet, TELEMETRY, whole) is grpc.StatusCode.OK
        made = storm.end()
    assert settled(fleet.client, NAME, made).distinct == made
    lost = "SELECT reason, rows FROM losses WHERE table = 'foreign'"
    assert fleet.wait_rows(lost) == [["rejected", 7]], "a batch of an unknown schema is counted, once"
    assert "no link to the server" not in fleet.agents["one"].tail()
    assert fleet.node("one") == fleet.wait_for("one", AgentState.ONLINE)
    assert "Traceback" not in fleet.server.log.read_text()
