"""Nodes: their agents' states, names, labels, and their end."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.model.errors import BadInput, Conflict, NotFound, Revoked
from quarterdeck.model.modules import DeployModule
from quarterdeck.model.nodes import AgentState, Facts, NodeKey, Selector
from quarterdeck.model.tokens import CreateJoinToken
from tests.services import Services


async def test_an_agent_is_offline_until_it_connects_and_after_it_left(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    assert (await fleet.nodes.show("web-1")).state is AgentState.OFFLINE
    welcome = await fleet.connect(agent)
    assert (welcome.gid, welcome.nid, welcome.heartbeat_s) == (1, 1, 10.0)
    node = await fleet.nodes.show("web-1")
    assert node.state is AgentState.ONLINE
    assert node.facts.hostname == "host"
    assert (await fleet.nodes.agents())[0].version == "1.0"
    await fleet.nodes.disconnected(agent)
    assert (await fleet.nodes.show("web-1")).state is AgentState.OFFLINE


async def test_silence_makes_an_agent_offline_and_a_word_brings_it_back(fleet: Services) -> None:
    loud, silent = await fleet.join("loud"), await fleet.join("silent")
    await fleet.connect(loud)
    await fleet.connect(silent)
    fleet.clock.now += 29
    await fleet.nodes.seen([loud])
    await fleet.nodes.sweep()
    assert {node.name for node in await fleet.nodes.list() if node.state is AgentState.ONLINE} == {"loud", "silent"}
    fleet.clock.now += 2
    await fleet.nodes.sweep()
    assert (await fleet.nodes.show("silent")).state is AgentState.OFFLINE
    assert (await fleet.nodes.show("loud")).state is AgentState.ONLINE
    await fleet.nodes.seen([silent])
    node = await fleet.nodes.show("silent")
    assert (node.state, node.seen_at) == (AgentState.ONLINE, fleet.clock.now)


async def test_a_server_that_starts_has_nobody_online(fleet: Services) -> None:
    await fleet.connect(await fleet.join("web-1"))
    await fleet.nodes.set_all_offline()
    assert (await fleet.nodes.show("web-1")).state is AgentState.OFFLINE


async def test_many_agents_connect_at_once(fleet: Services) -> None:
    agents = [await fleet.join(f"node-{number}") for number in range(40)]
    await asyncio.gather(*(fleet.connect(agent) for agent in agents))
    assert all(node.state is AgentState.ONLINE for node in await fleet.nodes.list())
    await asyncio.gather(*(fleet.nodes.disconnected(agent) for agent in agents))
    assert all(node.state is AgentState.OFFLINE for node in await fleet.nodes.list())


async def test_the_last_of_several_words_about_a_connection_counts(fleet: Services) -> None:
    agent, other = await fleet.join("web-1"), await fleet.join("web-2")
    await asyncio.gather(fleet.connect(other), fleet.nodes.disconnected(agent), fleet.connect(agent))
    assert (await fleet.nodes.show("web-1")).state is AgentState.ONLINE
    await asyncio.gather(fleet.connect(other), fleet.connect(agent), fleet.nodes.disconnected(agent))
    assert (await fleet.nodes.show("web-1")).state is AgentState.OFFLINE


async def test_a_node_is_found_by_name_number_and_grid(fleet: Services) -> None:
    await fleet.join("web-1")
    second = await fleet.join("web-2")
    for reference in ("web-2", "2", "1/2"):
        assert (await fleet.nodes.show(reference)).agent_id == second.agent_id
    for reference in ("web", "3", "2/2", "1/", "/1", "", "1/2/3", "2\0", "99999999999999999999"):
        with pytest.raises(NotFound):
            await fleet.nodes.show(reference)


async def test_an_ambiguous_name_says_who_is_meant(fleet: Services) -> None:
    await fleet.join("web")
    await fleet.join("web")
    with pytest.raises(Conflict, match=r"web \(1/1\), web \(1/2\)"):
        await fleet.nodes.show("web")


async def test_selectors_choose_by_labels_names_and_grid(fleet: Services) -> None:
    await fleet.join("web-1", labels={"role": "web", "zone": "a"})
    await fleet.join("web-2", labels={"role": "web", "zone": "b"})
    await fleet.join("db-1", labels={"role": "db"})

    async def names(selector: Selector) -> list[str]:
        return [node.name for node in await fleet.nodes.list(selector)]

    assert await names(Selector()) == ["web-1", "web-2", "db-1"]
    assert await names(Selector(labels={"role": "web"})) == ["web-1", "web-2"]
    assert await names(Selector(labels={"role": "web", "zone": "b"})) == ["web-2"]
    assert await names(Selector(nodes=("db-1", "1/1"))) == ["web-1", "db-1"]
    assert await names(Selector(gid=2)) == []


async def test_labels_are_set_and_removed(fleet: Services) -> None:
    await fleet.join("web-1")
    assert (await fleet.nodes.label("web-1", {"role": "web", "tier": "1"})).labels == {"role": "web", "tier": "1"}
    assert (await fleet.nodes.label("web-1", {"tier": None, "absent": None})).labels == {"role": "web"}


async def test_the_agents_own_labels_win_and_cannot_be_changed_here(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.nodes.label("web-1", {"role": "db"})
    await fleet.connect(agent, labels={"role": "web"})
    assert (await fleet.nodes.show("web-1")).labels == {"role": "web"}
    with pytest.raises(Conflict, match="own configuration"):
        await fleet.nodes.label("web-1", {"role": "db"})
    await fleet.connect(agent)
    assert (await fleet.nodes.show("web-1")).labels == {"role": "db"}


@pytest.mark.parametrize("labels", [{"": "x"}, {"a=b": "x"}, {"a": "x\0"}, {"a" * 300: "x"}, {"a": "x" * 300}])
async def test_labels_that_cannot_be_written_are_refused(fleet: Services, labels: dict[str, str | None]) -> None:
    await fleet.join("web-1")
    with pytest.raises(BadInput, match="label"):
        await fleet.nodes.label("web-1", labels)


async def test_a_removed_node_is_gone_cut_off_and_refused_for_ever(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.connect(agent)
    await fleet.nodes.remove("web-1")
    assert await fleet.nodes.list() == []
    assert fleet.sessions.cut == [(agent.agent_id, "revoked")]
    assert (await fleet.nodes.agents())[0].state is AgentState.TERMINATED
    with pytest.raises(Revoked):
        await fleet.connect(agent)
    await fleet.nodes.seen([agent])
    assert (await fleet.nodes.agents())[0].state is AgentState.TERMINATED
    assert (await fleet.join("web-1")).nid == 2


async def test_changed_facts_are_kept(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.nodes.changed(agent, Facts(kernel="6.18"))
    assert (await fleet.nodes.show("web-1")).facts.kernel == "6.18"


async def test_a_store_restored_from_an_older_copy_takes_the_agents_reports_again(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", DeployModule())
    await fleet.connect(agent, acted=1_000_000)
    assert (await fleet.nodes.show("web-1")).acted_revision == 0
    revision = await fleet.act(agent)
    assert (await fleet.nodes.show("web-1")).acted_revision == revision


async def test_taking_a_nodes_place_ends_the_agent_that_had_it(fleet: Services) -> None:
    first = await fleet.join("web-1", labels={"own": "1"})
    await fleet.connect(first)
    await fleet.nodes.label("web-1", {"role": "web"})
    second = await fleet.join("web-1b", nid=1)
    assert (second.gid, second.nid) == (1, 1)
    assert fleet.sessions.cut == [(first.agent_id, "revoked")]
    node = await fleet.nodes.show("1/1")
    assert (node.name, node.agent_id, node.labels) == ("web-1b", second.agent_id, {"role": "web"})
    states = {record.agent_id: record.state for record in await fleet.nodes.agents()}
    assert states == {first.agent_id: AgentState.TERMINATED, second.agent_id: AgentState.OFFLINE}
    with pytest.raises(Revoked):
        await fleet.connect(first)
    await fleet.connect(second)
    assert fleet.desired.sent(NodeKey(1, 1)) == 0


async def test_a_place_that_there_is_not_cannot_be_promised_or_taken(fleet: Services) -> None:
    with pytest.raises(NotFound, match="no node 1/9"):
        await fleet.tokens.create_join(CreateJoinToken(nid=9))


@pytest.mark.parametrize("nid", [0, -1, 2**31, 2**70])
async def test_a_number_that_no_node_can_have_is_refused(fleet: Services, nid: int) -> None:
    with pytest.raises(BadInput, match="number"):
        await fleet.tokens.create_join(CreateJoinToken(nid=nid))


async def test_facts_larger_than_any_hosts_are_refused(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    with pytest.raises(BadInput, match="facts"):
        await fleet.nodes.changed(agent, Facts(os="x" * 10**6))
