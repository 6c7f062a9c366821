"""A third kind of placement, from its declaration on a real server over the real link to its node, and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from quarterdeck.agent.connection import TOPIC_MESSAGES, Connection, LiveLink
from quarterdeck.agent.placements import Placements
from quarterdeck.link.conversation import Conversation, Delegated
from quarterdeck.link.grpc.agent import GrpcAgentWire
from quarterdeck.link.messages import PROTOCOL_VERSION, Desired, Hello
from quarterdeck.model.nodes import Facts, Selector
from quarterdeck.server.server import Server
from tests.banners import BANNER, DOWN, Banner, Banners, BannerStatus, ShownBanners
from tests.integration.server.agent import joined
from tests.support import until


class Others:
    """The topic of all messages that are not about placements."""

    takes = TOPIC_MESSAGES - {Desired}

    def open(self, link: LiveLink) -> Conversation:
        return Delegated(lambda _: None)


async def test_a_third_kind_needs_its_registrations_and_nothing_else(server: Server, tmp_path: Path) -> None:
    declared = Banners()
    server.placements.register(declared)
    node = await joined(server)
    agent = Placements(tmp_path / "desired", agent_id=lambda: "agent")
    banners = ShownBanners(lambda: agent.changed(BANNER))
    agent.register(BANNER, Banner, banners)

    connection = Connection(
        GrpcAgentWire(node.address),
        credentials=lambda: node.credentials,
        hello=lambda: Hello(protocol=PROTOCOL_VERSION, facts=Facts(), acted_revision=agent.acted),
        topics=[agent, Others()],
    )

    async def shows(expected: BannerStatus | None) -> bool:
        async with server._stores.database.read() as transaction:
            found = await server.placement_reports.find(transaction, declared)
        return [status for _, status in found] == ([] if expected is None else [expected])

    declared.texts["motd"] = ("hello", Selector(labels={"role": "web"}))
    up = BannerStatus(name="motd", revision=1, shown=True)
    fallen = BannerStatus(name="motd", revision=1, reason=DOWN)
    tasks = [asyncio.create_task(agent.run()), asyncio.create_task(connection.run())]
    await server.nodes.label("web-1", {"role": "web"})
    await until(lambda: shows(up))
    assert banners.texts == ["hello"]
    banners.fall("motd")
    await until(lambda: shows(fallen))
    await server.nodes.label("web-1", {"role": "db"})
    await until(lambda: shows(None))
    assert banners.texts == []
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
