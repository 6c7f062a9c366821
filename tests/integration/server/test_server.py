"""The whole server in this process: real stores, the real link, an agent that is a test."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from quarterdeck.link.messages import ArtefactChunk, Desired, PlacementReport, Refused, WantArtefact
from quarterdeck.model.config import LinkConfig, ServerConfig
from quarterdeck.model.errors import BadConfig, Conflict, NotFound, QuarterdeckError, TokenUsed, Unauthenticated
from quarterdeck.model.modules import MODULE, DeployModule, DesiredInstance, InstanceState, InstanceStatus, ModuleState
from quarterdeck.model.nodes import AgentState
from quarterdeck.model.queries import Query
from quarterdeck.model.tokens import CreateJoinToken, Role
from quarterdeck.server.server import Server
from tests.integration.server.agent import Agent, connected, joined
from tests.support import until
from tests.telemetry import ask


async def test_a_module_travels_to_its_agent_and_its_table_is_there_at_once(server: Server) -> None:
    agent = await joined(server)
    welcome = await agent.connect()
    assert (welcome.gid, welcome.nid) == (1, 1)
    assert (await agent.expect(Desired)).desired.placements == {}
    assert (await server.nodes.show("web-1")).state is AgentState.ONLINE

    module = await server.modules.deploy("counted", DeployModule())
    assert (await ask(server.queries, Query(sql="SELECT count() FROM counted"))).rows == [[0]]
    desired = (await agent.expect(Desired)).desired
    (instance,) = desired.read(MODULE, DesiredInstance)
    assert (instance.id, instance.build) == (module.id, module.build)

    await agent.say(WantArtefact(sha256=instance.build.object.sha256))
    chunk = await agent.expect(ArtefactChunk)
    assert (len(chunk.data), chunk.data[:4]) == (instance.build.object.size, b"\x7fELF")

    status = InstanceStatus(instance_id=instance.id, state=InstanceState.SUCCEEDED, revision=desired.revision)
    await agent.say(PlacementReport.of(MODULE, (status,), revision=desired.revision))

    async def succeeded() -> bool:
        return (await server.modules.instances("counted"))[0].status.state is InstanceState.SUCCEEDED

    await until(succeeded)

    await server.nodes.remove("web-1")
    assert (await agent.expect(Refused)).code == "revoked"
    await agent.close()
    with pytest.raises((AssertionError, Unauthenticated)):
        await agent.connect()
    await agent.close()


async def test_a_token_joins_once(server: Server) -> None:
    token = await server.tokens.create_join(CreateJoinToken())
    await Agent.join(server, token.token, "web-1")
    with pytest.raises(TokenUsed):
        await Agent.join(server, token.token, "web-1")
    assert len(await server.nodes.list()) == 1


async def test_an_agent_that_falls_silent_is_offline(config: ServerConfig) -> None:
    server = Server(msgspec.structs.replace(config, link=msgspec.structs.replace(config.link, offline_after_s=0.5)))
    await server.start()
    agent = await connected(server)

    async def offline() -> bool:
        return (await server.nodes.show("web-1")).state is AgentState.OFFLINE

    await until(offline)
    await agent.close()
    await server.stop()


async def test_everything_is_there_again_after_a_restart(config: ServerConfig) -> None:
    first = Server(config)
    await first.start()
    agent = await connected(first)
    await first.modules.deploy("counted", DeployModule())
    sent = await agent.expect(Desired)
    admin = (Path(config.home) / "admin.token").read_text().strip()
    await first.stop()
    await agent.close()

    second = Server(config)
    await second.start()
    node = await second.nodes.show("web-1")
    assert (node.state, node.labels) == (AgentState.OFFLINE, {"role": "web"})
    assert (await second.modules.show("counted")).desire_state is ModuleState.DEPLOYED
    assert (await second.tokens.verify(admin)).role is Role.ADMIN
    answer = await ask(second.queries, Query(sql="SELECT count() FROM counted"))
    assert answer.completeness.offline_nodes == ("web-1",)
    agent.address = (await second.about.info()).link
    await agent.connect()
    assert await agent.expect(Desired) == sent
    assert (await second.nodes.show("web-1")).state is AgentState.ONLINE
    await agent.close()
    await second.stop()


async def test_a_home_has_one_server(server: Server, config: ServerConfig) -> None:
    with pytest.raises(Conflict, match=r"Another server \(process \d+\)"):
        await Server(config).start()
    await server.about.check_ready()


async def test_a_start_that_fails_leaves_nothing_open(config: ServerConfig) -> None:
    async with asyncio.timeout(60):
        blocker = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        port = blocker.sockets[0].getsockname()[1]
        with pytest.raises(BadConfig, match="link"):
            await Server(ServerConfig(home=config.home, link=LinkConfig(address=f"127.0.0.1:{port}"))).start()
        blocker.close()
    again = Server(config)
    await again.start()
    await again.stop()


async def test_a_wrong_state_url_is_said_before_anything_is_opened(config: ServerConfig) -> None:
    with pytest.raises(BadConfig, match="oracle"):
        await Server(ServerConfig(home=config.home, state_url="oracle://x/y")).start()
    with pytest.raises(BadConfig, match="data folder"):
        await Server(ServerConfig()).start()


async def test_the_server_says_what_it_is(server: Server, config: ServerConfig) -> None:
    await server.about.publish("127.0.0.1:8420")
    info = await server.about.info()
    assert (info.http, info.state_store, info.telemetry_store) == ("127.0.0.1:8420", "sqlite", "chdb")
    assert (Path(config.home) / "http.address").read_text() == "127.0.0.1:8420\n"
    with pytest.raises(NotFound):
        await server.modules.show("nothing")


async def test_a_fault_in_the_store_is_an_error_of_ours(config: ServerConfig) -> None:
    await asyncio.to_thread(Path(config.home).mkdir)
    (Path(config.home) / "state.db").write_bytes(b"no database" * 1000)
    with pytest.raises(QuarterdeckError, match="damaged") as caught:
        await Server(config).start()
    assert caught.value.code == "storage_corrupt"
