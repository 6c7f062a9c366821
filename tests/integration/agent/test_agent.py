"""A whole agent, with instances in memory, against a real link: it joins, obeys, reports, and heals by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quarterdeck.agent.agent import Agent
from quarterdeck.agent.assembly.modules import InstancesFactory
from quarterdeck.agent.connection import Retries
from quarterdeck.agent.identity import load_identity
from quarterdeck.kit.backoff import Backoff
from quarterdeck.link.grpc.agent import GrpcAgentWire
from quarterdeck.link.messages import PlacementReport, StatsReport
from quarterdeck.model.config import AgentConfig, OutboxConfig
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import BadConfig, QuarterdeckError, Revoked, Unavailable
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.manifests import Manifest
from quarterdeck.model.modules import Artefact, Build, DesiredInstance
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.testing.instances import MemoryInstances
from quarterdeck.testing.link import LinkServer
from quarterdeck.testing.placements import desired_set
from quarterdeck.testing.proxy import CuttableProxy
from tests.support import until

TABLE = Table(name="opens", columns=(Column(name="pid", type=ColumnType.UINT32),))
QUICK = Retries(unreachable=Backoff(0.2, 0.2), refused=Backoff(0.2, 0.2))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LinkServer]:
    async with LinkServer(tmp_path / "server", heartbeat_s=0.1, keepalive_s=0.6) as running:
        yield running


class Node:
    """An agent that can be started and stopped; what its instances are is at hand."""

    def __init__(self, home: Path, address: str, **config: object) -> None:
        settings = {"home": str(home), "server": address, "stats_interval_s": 0.1, **config}
        self.config = AgentConfig(**settings)  # type: ignore[arg-type]
        self.instances: MemoryInstances
        self.agent: Agent

    def make(self, **arguments: object) -> MemoryInstances:
        self.instances = MemoryInstances(**arguments)  # type: ignore[arg-type]
        return self.instances

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MemoryInstances]:
        factory: InstancesFactory = self.make
        wire = GrpcAgentWire(self.config.server, keepalive_s=0.6)
        self.agent = Agent(self.config, instances=factory, wire=wire, retries=QUICK)
        task = asyncio.create_task(self.agent.run())
        await until(lambda: hasattr(self, "instances") or task.done())
        if task.done():
            task.result()
        yield self.instances
        self.agent.stop()
        await task
        assert self.instances.closed
        del self.instances


def desired(server: LinkServer, revision: int, *contents: bytes) -> DesiredSet:
    instances = tuple(
        DesiredInstance.of(
            id=f"instance-{place}",
            build=Build(
                manifest=Manifest(name="opens"),
                digest="d",
                object=Artefact(name="opens.bpf.o", sha256=server.fleet.add_artefact(content), size=len(content)),
            ),
        )
        for place, content in enumerate(contents)
    )
    return desired_set(revision, modules=instances)


def rows(server: LinkServer) -> int:
    return sum(batch.rows for batch in server.fleet.batches.values() if batch.table == TABLE.name)


def revisions(server: LinkServer) -> list[int]:
    return [message.revision for _, message in server.fleet.received_messages if isinstance(message, PlacementReport)]


async def test_joins_obeys_reports_and_ships(server: LinkServer, tmp_path: Path) -> None:
    server.fleet.sets[1, 1] = desired(server, 3, b"object" * 500_000)
    node = Node(tmp_path, server.address, token=await server.new_token(), name="web-1", labels={"role": "web"})
    async with node.running() as instances:
        await until(lambda: 3 in revisions(server))
        assert instances.objects == {"instance-0": b"object" * 500_000}
        assert server.fleet.here["agent-1"].labels == {"role": "web"}
        instances.emit(TABLE, 5, b"rows", "opens", ())
        instances.lose(Loss(table="opens", reason=LossReason.RING_FULL, rows=2))
        await until(lambda: rows(server) == 5)
        await until(lambda: any(batch.losses for batch in server.fleet.batches.values()))
        await until(lambda: any(isinstance(message, StatsReport) for _, message in server.fleet.received_messages))
        server.fleet.sets[1, 1] = desired(server, 4)
        server.fleet.desired_links.wake([NodeKey(1, 1)])
        await until(lambda: 4 in revisions(server))
        assert instances.objects == {}
    await until(lambda: server.fleet.departures == ["agent-1"])


async def test_a_server_restart_heals_and_what_happened_meanwhile_arrives(server: LinkServer, tmp_path: Path) -> None:
    outbox = OutboxConfig(memory_bytes=16 * 1024)  # a half is less than these batches need
    node = Node(tmp_path, server.address, token=await server.new_token(), outbox=outbox)
    async with node.running() as instances:
        await until(server.sessions.online)
        await server.stop()
        for _ in range(20):
            instances.emit(TABLE, 5, b"rows", "opens", ())
        await until(lambda: any((tmp_path / "agent" / "outbox").glob("*.spill")))
        assert rows(server) == 0
        server.fleet.sets[1, 1] = desired(server, 9, b"object")
        await server.start()
        await until(lambda: rows(server) == 100 and 9 in revisions(server))


async def test_a_cut_line_is_noticed_by_both_sides_and_heals(server: LinkServer, tmp_path: Path) -> None:
    async with CuttableProxy(server.address) as proxy:
        node = Node(tmp_path, proxy.address, token=await server.new_token())
        async with node.running() as instances:
            await until(server.sessions.online)
            proxy.cut()
            instances.emit(TABLE, 7, b"rows", "opens", ())
            await until(lambda: not server.sessions.online())
            server.fleet.sets[1, 1] = desired(server, 2, b"object")
            proxy.restore()
            await until(lambda: rows(server) == 7 and 2 in revisions(server))


async def test_restarted_without_a_server_it_runs_what_it_ran_and_keeps_its_rows(
    server: LinkServer, tmp_path: Path
) -> None:
    server.fleet.sets[1, 1] = desired(server, 3, b"object")
    node = Node(tmp_path, server.address, token=await server.new_token())
    async with node.running():
        await until(lambda: 3 in revisions(server))
        await server.stop()
    node = Node(tmp_path, server.address)  # no token any more
    async with node.running() as instances:
        await until(lambda: instances.objects == {"instance-0": b"object"})
        instances.emit(TABLE, 4, b"rows", "opens", ())
    node = Node(tmp_path, server.address)
    await server.start()
    async with node.running():
        await until(lambda: rows(server) == 4)
        assert server.fleet.here["agent-1"].facts.hostname


async def test_started_before_its_server_it_joins_when_there_is_one(server: LinkServer, tmp_path: Path) -> None:
    token = await server.new_token()
    await server.stop()
    node = Node(tmp_path, server.address, token=token)
    agent = Agent(node.config, instances=node.make, retries=QUICK)
    task = asyncio.create_task(agent.run())
    await asyncio.sleep(0.3)
    assert not task.done()
    await server.start()
    await until(server.sessions.online)
    agent.stop()
    await task


async def test_stopped_while_it_waits_for_its_server(server: LinkServer, tmp_path: Path) -> None:
    await server.stop()
    node = Node(tmp_path, server.address, token=server.fleet.new_token())
    agent = Agent(node.config, instances=node.make)
    task = asyncio.create_task(agent.run())
    await asyncio.sleep(0.1)
    agent.stop()
    await task
    await server.start()


async def test_a_removed_nodes_agent_ends_what_it_runs_and_itself_and_stays_ended(
    server: LinkServer, tmp_path: Path
) -> None:
    server.fleet.sets[1, 1] = desired(server, 3, b"object")
    node = Node(tmp_path, server.address, token=await server.new_token())
    task = asyncio.create_task(Agent(node.config, instances=node.make, retries=QUICK).run())
    await until(lambda: hasattr(node, "instances") and node.instances.objects)
    server.fleet.revoked.add("agent-1")
    await server.sessions.disconnect("agent-1")
    with pytest.raises(Revoked, match="its programs have ended"):
        await task
    assert node.instances.closed
    assert node.instances.objects == {}
    await server.stop()
    with pytest.raises(Revoked, match="was removed") as caught:  # also without its server, and at once
        await Agent(AgentConfig(home=str(tmp_path), server=server.address), instances=MemoryInstances).run()
    assert "--token" in caught.value.hint
    assert caught.value.exit_code == 77
    await server.start()
    async with Node(tmp_path, server.address, token=await server.new_token()).running() as instances:
        await until(lambda: server.sessions.online() == {"agent-2"})
        assert instances.objects == {}


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_node_that_the_server_does_not_know_keeps_what_it_runs(
    server: LinkServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, restarted: bool
) -> None:
    server.fleet.sets[1, 1] = desired(server, 3, b"object")
    node = Node(tmp_path, server.address, token=await server.new_token())
    async with node.running() as instances:
        await until(lambda: instances.objects)
        server.fleet.unknown.add("agent-1")
        if not restarted:
            await server.sessions.disconnect("agent-1", Unavailable("cut"))
            await until(lambda: caplog.text.count("its programs keep running") >= 2)
            assert instances.objects
    if restarted:
        async with Node(tmp_path, server.address).running() as instances:
            await until(lambda: caplog.text.count("its programs keep running") >= 2)
            assert instances.objects == {"instance-0": b"object"}
            server.fleet.unknown.clear()
            await until(server.sessions.online)


async def test_an_unknown_node_joins_again_with_a_new_token_and_has_no_set_of_a_lost_state(
    server: LinkServer, tmp_path: Path
) -> None:
    server.fleet.sets[1, 1] = desired(server, 3, b"object")
    server.fleet.sets[1, 2] = desired(server, 1)
    async with Node(tmp_path, server.address, token=await server.new_token()).running() as instances:
        await until(lambda: 3 in revisions(server))
    server.fleet.unknown.add("agent-1")
    async with Node(tmp_path, server.address, token=await server.new_token()).running() as instances:
        await until(lambda: server.sessions.online() == {"agent-2"})
        assert server.fleet.here["agent-2"].held_revision == 0
        await until(lambda: not instances.objects)


async def test_an_agent_says_which_set_it_has_from_its_first_word_on(server: LinkServer, tmp_path: Path) -> None:
    server.fleet.sets[1, 1] = desired(server, 3, b"object")
    async with Node(tmp_path, server.address, token=await server.new_token()).running():
        await until(lambda: 3 in revisions(server))
    server.fleet.notices = ("Your label is not in force.",)
    async with Node(tmp_path, server.address).running():
        await until(server.sessions.online)
        assert server.fleet.here["agent-1"].held_revision == 3


async def test_what_the_server_has_to_say_is_logged_once(
    server: LinkServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.fleet.notices = ("Your label is not in force.",)
    async with Node(tmp_path, server.address, token=await server.new_token()).running():
        for links in (1, 2, 3):
            await until(lambda links=links: len(server.fleet.arrivals) == links and server.sessions.online())
            await server.sessions.disconnect("agent-1", Unavailable("cut"))
    assert caplog.text.count("Your label is not in force.") == 1


async def test_a_removed_node_joins_again_with_a_new_token(server: LinkServer, tmp_path: Path) -> None:
    async with Node(tmp_path, server.address, token=await server.new_token()).running():
        await until(server.sessions.online)
    server.fleet.revoked.add("agent-1")
    async with Node(tmp_path, server.address, token=await server.new_token()).running():
        await until(lambda: server.sessions.online() == {"agent-2"})
    identity = load_identity(tmp_path / "agent")
    assert identity is not None
    assert identity.agent.agent_id == "agent-2"


async def test_the_certificate_is_renewed_and_the_new_one_used_at_once(tmp_path: Path) -> None:
    minutes = 20  # of the 80 since an hour ago, when a certificate begins to be valid
    async with LinkServer(tmp_path / "server", certificate_days=minutes / 1440) as server:
        async with Node(tmp_path, server.address, token=await server.new_token()).running():
            await until(lambda: len(server.fleet.arrivals) == 2)
            renewed = load_identity(tmp_path / "agent")
            assert renewed is not None
            assert server.fleet.serials == {"agent-1": renewed.agent.serial}
            await until(server.sessions.online)
        assert len(server.fleet.arrivals) == 2  # and not again and again


async def test_a_full_store_is_waited_for(server: LinkServer, tmp_path: Path) -> None:
    full = Unavailable("full")
    full.retry_after_s = 0.1
    server.fleet.refuse_telemetry = full
    async with Node(tmp_path, server.address, token=await server.new_token()).running() as instances:
        for _ in range(10):
            instances.emit(TABLE, 1, b"rows", "opens", ())
        await asyncio.sleep(0.5)
        server.fleet.refuse_telemetry = None
        await until(lambda: rows(server) == 10)
        assert {batch.seq for batch in server.fleet.batches.values()} >= set(range(1, 11))


async def test_a_home_that_cannot_be_used_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be used"):
        await Agent(AgentConfig(home=str(tmp_path / "file")), instances=MemoryInstances).run()


async def test_a_second_agent_in_the_same_home_is_refused(server: LinkServer, tmp_path: Path) -> None:
    async with Node(tmp_path, server.address, token=await server.new_token()).running():
        with pytest.raises(BadConfig, match="Another agent works in"):
            async with Node(tmp_path, server.address).running():
                pass


@pytest.mark.parametrize("token", ["", "garbage"])
async def test_no_way_in_is_an_error_before_anything_runs(server: LinkServer, tmp_path: Path, token: str) -> None:
    with pytest.raises(QuarterdeckError):
        async with Node(tmp_path, server.address, token=token).running():
            pass
