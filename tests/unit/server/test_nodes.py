"""Nodes: their agents' states, names, labels, and their end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.link.certificates import certificates_from_pem, identity_of, new_key, new_request
from quarterdeck.link.messages import JoinRequest, Welcome
from quarterdeck.model.errors import AlreadyExists, BadInput, Conflict, NoSuchNodes, NotFound, Revoked, UnknownNode
from quarterdeck.model.modules import MODULE, DeployModule
from quarterdeck.model.nodes import AgentIdentity, AgentState, Facts, NodeKey, Selector
from quarterdeck.model.tokens import CreateJoinToken
from tests.services import Services, name_alike


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


async def states(fleet: Services) -> dict[str, AgentState]:
    return {node.name: node.state for node in await fleet.nodes.list()}


async def test_a_server_that_starts_leaves_the_agents_of_another_alone(fleet: Services, tmp_path: Path) -> None:
    there = Services(fleet.database, tmp_path, server="there")
    for server, name in ((fleet, "here-1"), (there, "there-1")):
        await server.connect(await server.join(name))
    await there.nodes.set_all_offline()
    assert await states(fleet) == {"here-1": AgentState.ONLINE, "there-1": AgentState.OFFLINE}


async def test_an_agent_that_went_to_another_server_is_not_taken_offline_by_the_first(
    fleet: Services, tmp_path: Path
) -> None:
    there = Services(fleet.database, tmp_path, server="there")
    agent = await fleet.join("web-1")
    await fleet.connect(agent)
    await there.connect(agent)
    await fleet.nodes.disconnected(agent)  # the first server notices only now
    assert await states(fleet) == {"web-1": AgentState.ONLINE}
    await there.nodes.disconnected(agent)
    await fleet.nodes.seen([agent])
    assert await states(fleet) == {"web-1": AgentState.OFFLINE}


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
    await fleet.join("other")
    await name_alike(fleet, "web")
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


async def test_a_list_of_nodes_with_one_that_is_not_there_is_refused(fleet: Services) -> None:
    await fleet.join("web-1")
    with pytest.raises(NoSuchNodes, match="'web-2', '9/9'") as caught:
        await fleet.nodes.list(Selector(nodes=("web-1", "web-2", "9/9")))
    assert caught.value.hint == "Did you mean web-1?"
    with pytest.raises(NotFound) as one:
        await fleet.nodes.show("web1")
    assert one.value.hint == "Did you mean web-1?"


async def test_labels_are_set_and_removed(fleet: Services) -> None:
    await fleet.join("web-1")
    assert (await fleet.nodes.label("web-1", {"role": "web", "tier": "1"})).labels == {"role": "web", "tier": "1"}
    assert (await fleet.nodes.label("web-1", {"tier": None, "absent": None})).labels == {"role": "web"}


async def test_what_an_agent_says_of_its_labels_after_it_joined_is_shown_and_not_in_force(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    welcome = await fleet.connect(agent, labels={"role": "db"})
    node = await fleet.nodes.show("web-1")
    assert (node.labels, node.claimed_labels) == ({}, {"role": "db"})
    assert await fleet.nodes.list(Selector(labels={"role": "db"})) == []
    (notice,) = welcome.notices
    assert "not in force" in notice
    assert "qd node label web-1 role=db" in notice
    await fleet.nodes.label("web-1", {"role": "db"})
    node = await fleet.nodes.show("web-1")
    assert (node.labels, node.claimed_labels) == ({"role": "db"}, {})
    assert (await fleet.connect(agent, labels={"role": "db"})).notices == ()


async def test_labels_said_at_the_join_stay_whatever_is_said_later(fleet: Services) -> None:
    agent = await fleet.join("web-1", labels={"role": "web"})
    for later in ({}, {"role": "db"}, {"role": "web", "zone": "a"}):
        await fleet.connect(agent, labels=later)
        assert (await fleet.nodes.show("web-1")).labels == {"role": "web"}


@pytest.mark.parametrize(
    ("fields", "labels"),
    [
        ({"labels": {"role": "web"}}, {"role": "web"}),
        ({"allow_labels": ()}, {}),
        ({"allow_labels": ("zone",)}, {"zone": "a"}),
        ({"allow_labels": ("zone=a*", "r*=web")}, {"zone": "a"}),
        ({"allow_labels": ("*",), "labels": {"role": "web"}}, {"role": "web", "zone": "a"}),
        ({"allow_labels": ("ROLE", "zon")}, {}),
        ({}, {"role": "db", "zone": "a"}),
    ],
)
async def test_the_token_decides_what_the_agent_may_say(
    fleet: Services, fields: dict[str, Any], labels: dict[str, str]
) -> None:
    token = await fleet.tokens.create_join(CreateJoinToken(**fields))
    said = {"role": "db", "zone": "a"}
    reply = await fleet.joins.join(
        token.info.id, JoinRequest(csr_pem=new_request(new_key(), "n"), name="n", labels=said)
    )
    agent = identity_of(certificates_from_pem(reply.certificate_pem)[0])
    await fleet.connect(agent, labels=said)
    node = await fleet.nodes.show("n")
    assert node.labels == labels
    assert node.claimed_labels == {key: value for key, value in said.items() if labels.get(key) != value}


async def test_labels_that_an_agent_may_say_come_and_go_with_it_and_it_is_told(fleet: Services) -> None:
    agent = await fleet.join("web-1", allow_labels=("role",))
    await fleet.connect(agent, labels={"role": "web"})
    with pytest.raises(Conflict, match="own configuration"):
        await fleet.nodes.label("web-1", {"role": None})
    (notice,) = (await fleet.connect(agent)).notices
    assert "role=web" in notice
    assert "[agent.labels]" in notice
    assert (await fleet.nodes.show("web-1")).labels == {}
    await fleet.nodes.label("web-1", {"role": "db"})
    (notice,) = (await fleet.connect(agent, labels={"role": "web"})).notices
    assert "set on the server" in notice
    assert (await fleet.nodes.show("web-1")).labels == {"role": "db"}


@pytest.mark.parametrize("pattern", ["", "=x", "a\0", "a" * 300, "a=" + "b" * 300])
async def test_a_pattern_of_labels_that_is_none_is_refused(fleet: Services, pattern: str) -> None:
    with pytest.raises(BadInput, match="pattern"):
        await fleet.tokens.create_join(CreateJoinToken(allow_labels=(pattern,)))


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


async def test_an_agent_that_the_state_does_not_know_is_not_said_to_be_removed(fleet: Services) -> None:
    stranger = AgentIdentity(agent_id="of a lost state", gid=1, nid=7, serial="1")
    for _ in range(2):
        with pytest.raises(UnknownNode, match="no record of the node 1/7"):
            await fleet.connect(stranger)
    assert await fleet.nodes.list() == []
    assert (await fleet.join("web-1")).nid == 8, "its number is taken, as its certificate says"


async def test_known_and_unknown_agents_that_come_together_get_each_their_own_answer(fleet: Services) -> None:
    known, removed = await fleet.join("known"), await fleet.join("removed")
    await fleet.nodes.remove("removed")
    stranger = AgentIdentity(agent_id="stranger", gid=3, nid=1, serial="1")
    found = await asyncio.gather(*map(fleet.connect, (stranger, known, removed)), return_exceptions=True)
    assert [type(each) for each in found] == [UnknownNode, Welcome, Revoked]


async def test_an_agent_with_a_later_set_than_this_state_knows_keeps_it_until_a_sync(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    welcome = await fleet.connect(agent, held=12)
    assert "older" in welcome.notices[0]
    assert "qd node sync web-1" in welcome.notices[0]
    assert (await fleet.nodes.show("web-1")).held_revision == 12
    assert await fleet.placements.due(agent.key) is None
    # nothing that is deployed meanwhile ends the hold, also when the numbers have gone past it
    await fleet.create("execs")
    for pid in range(15):
        await fleet.modules.deploy("execs", DeployModule(settings={"targ_pid": pid}))
    await fleet.connect(agent, held=12)
    assert await fleet.placements.due(agent.key) is None
    node = await fleet.nodes.sync("web-1")
    assert (node.held_revision, node.revision > 12) == (0, True)
    assert fleet.sessions.woken[-1] == agent.key
    due = await fleet.placements.due(agent.key)
    assert due is not None
    assert (due.revision, len(due.placements[MODULE])) == (node.revision, 1)
    assert (await fleet.connect(agent, held=12)).notices == ()
    assert (await fleet.nodes.sync("web-1")).revision == node.revision, "a second sync changes nothing"


async def test_an_agent_whose_set_is_lost_is_held_no_more(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.connect(agent, held=12)
    await fleet.connect(agent)
    assert await fleet.placements.due(agent.key) is not None


@pytest.mark.parametrize("held", [2**31, 2**63, 2**64 - 1, -5])
async def test_a_revision_that_no_set_can_have_spoils_nothing(fleet: Services, held: int) -> None:
    agent = await fleet.join("web-1")
    await fleet.connect(agent, held=held, acted=held)
    await fleet.nodes.sync("web-1")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", DeployModule())
    assert await fleet.runs_on(agent) == ["execs"]


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
    assert (node.name, node.agent_id) == ("web-1b", second.agent_id)
    assert node.labels == {"own": "1", "role": "web"}
    states = {record.agent_id: record.state for record in await fleet.nodes.agents()}
    assert states == {first.agent_id: AgentState.TERMINATED, second.agent_id: AgentState.OFFLINE}
    with pytest.raises(Revoked):
        await fleet.connect(first)
    await fleet.connect(second)
    assert fleet.placements.sent(NodeKey(1, 1)) == 0


@pytest.mark.parametrize("name", ["2", "0", "007", "२", ".", "..", "1/2", "-x", "--json"])
async def test_a_name_that_reads_like_something_else_is_refused(fleet: Services, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        await fleet.join(name)
    assert (await fleet.join("web-1")).nid == 1


async def test_names_are_unique_in_a_fleet(fleet: Services) -> None:
    await fleet.join("web-1")
    with pytest.raises(AlreadyExists, match=r"'web-1' \(1/1\)") as caught:
        await fleet.join(" web-1")
    assert "--nid 1" in caught.value.hint
    await fleet.join("web-2")
    with pytest.raises(AlreadyExists):
        await fleet.join("web-1", nid=2)
    await fleet.join("web-1", nid=1)
    await fleet.nodes.remove("web-2")
    await fleet.join("web-2")


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
