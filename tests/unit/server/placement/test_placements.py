"""Placement itself: a kind that nothing but its registration names is placed, sent, reported on and removed."""

from __future__ import annotations

from quarterdeck.model.modules import MODULE, DeployModule
from quarterdeck.model.nodes import AgentIdentity, NodeKey, Selector
from tests.banners import BANNER, Banner, Banners, BannerStatus
from tests.services import Services


class Fleet:
    """A fleet with banners."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.banners = Banners()
        services.placements.register(self.banners)

    async def declare(self, text: str, selector: Selector) -> set[NodeKey]:
        self.banners.texts["motd"] = (text, selector)
        async with self.services.database.write() as transaction:
            return await self.services.placements.place_things(transaction, BANNER, ["motd"])

    async def sent(self, agent: AgentIdentity) -> list[Banner]:
        return (await self.services.placements.desired(agent.key)).read(BANNER, Banner)

    async def shown(self) -> dict[int, BannerStatus]:
        async with self.services.database.read() as transaction:
            found = await self.services.reports.find(transaction, self.banners)
        return {row.key.nid: status for row, status in found}


WEB = Selector(labels={"role": "web"})


async def test_a_third_kind_is_placed_and_reported_on(fleet: Services) -> None:
    banners, web = Fleet(fleet), await fleet.join("web-1", labels={"role": "web"})
    assert await banners.declare("hello", WEB) == {web.key}
    await fleet.connect(web)
    assert await banners.sent(web) == [Banner(name="motd", text="hello")]
    assert (await banners.shown())[1].reason == "The node's agent has not said yet what became of it."
    said = BannerStatus(name="motd", revision=1, shown=True)
    await fleet.report(web, BANNER, said, revision=1)
    assert await banners.shown() == {1: said}
    assert await banners.declare("bye", WEB) == {web.key}
    assert not (await banners.shown())[1].shown, "nothing was reported of what is wanted now"
    await fleet.connect(web, acted=1)
    assert (await banners.shown())[1].reason == "The node was not told yet."


async def test_a_join_a_label_and_a_replaced_agent_know_no_kind_by_name(fleet: Services) -> None:
    banners = Fleet(fleet)
    await banners.declare("hello", WEB)
    web, db = await fleet.join("web-1", labels={"role": "web"}), await fleet.join("db-1")
    assert (await banners.sent(web), await banners.sent(db)) == ([Banner(name="motd", text="hello")], [])
    await fleet.nodes.label("db-1", {"role": "web"})
    assert len(await banners.sent(db)) == 1
    assert banners.banners.described == ["motd"], "all nodes are sent the same bytes"
    await fleet.connect(web)
    await fleet.report(web, BANNER, BannerStatus(name="motd", revision=1, shown=True), revision=1)
    new = await fleet.join("web-1", nid=web.nid)
    assert not (await banners.shown())[1].shown, "another agent has shown nothing yet"
    await fleet.connect(new)
    await fleet.nodes.label("web-1", {"role": None})
    await fleet.report(new, BANNER, revision=await fleet.revision(new))
    assert set(await banners.shown()) == {2}
    await fleet.nodes.remove("db-1")
    assert await banners.shown() == {}


async def test_kinds_are_told_apart_by_name_and_each_set_has_all(fleet: Services) -> None:
    banners, web = Fleet(fleet), await fleet.join("web-1")
    await fleet.create("motd")
    await fleet.modules.deploy("motd", DeployModule())
    await banners.declare("hello", Selector())
    desired = await fleet.placements.desired(web.key)
    assert sorted(desired.placements) == [BANNER, MODULE]
    assert desired.revision == 2
    await fleet.connect(web)
    await fleet.act(web)
    assert not (await banners.shown())[1].shown, "a report is of its own kind alone"
