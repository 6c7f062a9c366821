"""Joining: one token, one node, once; and renewal."""

from __future__ import annotations

import logging

import pytest

from quarterdeck.link.certificates import certificates_from_pem, identity_of, new_key, new_request
from quarterdeck.link.messages import JoinRequest
from quarterdeck.model.errors import BadInput, NotFound, Revoked, TokenExpired, TokenUsed, Unauthenticated, UnknownNode
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.tokens import CreateJoinToken
from tests.services import Services


def request(name: str = "web-1", key: object = None) -> JoinRequest:
    return JoinRequest(csr_pem=new_request(key or new_key(), name), name=name)  # type: ignore[arg-type]


async def token(fleet: Services, **fields: object) -> str:
    return (await fleet.tokens.create_join(CreateJoinToken(**fields))).info.id  # type: ignore[arg-type]


async def test_a_joined_node_has_a_certificate_that_names_it(fleet: Services) -> None:
    reply = await fleet.joins.join(await token(fleet, labels={"role": "web"}), request())
    identity = fleet.authority.identify(certificates_from_pem(reply.certificate_pem)[0])
    assert (identity.agent_id, identity.gid, identity.nid) == (reply.agent_id, 1, 1)
    assert reply.ca_pem == fleet.authority.pem
    node = await fleet.nodes.show("web-1")
    assert (node.agent_id, node.labels) == (reply.agent_id, {"role": "web"})
    (agent,) = await fleet.nodes.agents()
    assert agent.certificate_serial == identity.serial
    assert agent.certificate_expires > fleet.clock.now - 86400 * 365 * 10


async def test_each_grid_counts_its_own_nodes(fleet: Services) -> None:
    grids = {"a": 1, "b": 7, "c": 7, "d": 1}
    replies = [await fleet.joins.join(await token(fleet, gid=gid), request(name)) for name, gid in grids.items()]
    assert [(reply.gid, reply.nid) for reply in replies] == [(1, 1), (7, 1), (7, 2), (1, 2)]


async def test_a_used_token_is_refused_and_logged(fleet: Services, caplog: pytest.LogCaptureFixture) -> None:
    token_id = await token(fleet)
    await fleet.joins.join(token_id, request())
    with caplog.at_level(logging.WARNING), pytest.raises(TokenUsed):
        await fleet.joins.join(token_id, request("intruder"))
    assert "intruder" in caplog.text
    assert token_id in caplog.text
    assert len(await fleet.nodes.list()) == 1


async def test_the_same_joiner_may_ask_again(fleet: Services) -> None:
    token_id, key = await token(fleet), new_key()
    first = await fleet.joins.join(token_id, request(key=key))
    again = await fleet.joins.join(token_id, request(key=key))
    assert (again.agent_id, again.gid, again.nid) == (first.agent_id, first.gid, first.nid)
    assert again.certificate_pem != first.certificate_pem
    assert len(await fleet.nodes.list()) == 1
    await fleet.nodes.remove("web-1")
    with pytest.raises(TokenUsed):
        await fleet.joins.join(token_id, request(key=key))


async def test_an_expired_a_revoked_and_an_unknown_token_are_refused(fleet: Services) -> None:
    expired, revoked = await token(fleet, expires_s=10), await token(fleet)
    await fleet.tokens.revoke_join(revoked)
    fleet.clock.now += 10
    with pytest.raises(TokenExpired):
        await fleet.joins.join(expired, request())
    for token_id in (revoked, "0" * 12):
        with pytest.raises(Unauthenticated, match="revoked, or this server's state does not know it"):
            await fleet.joins.join(token_id, request())
    assert await fleet.nodes.list() == []


async def test_a_join_that_fails_does_not_use_the_token_up(fleet: Services) -> None:
    token_id = await token(fleet)
    for bad in (
        JoinRequest(csr_pem=b"no request", name="web-1"),
        request(""),
        request("a/b"),
        request("a\0b"),
        request("x" * 254),
    ):
        with pytest.raises(BadInput):
            await fleet.joins.join(token_id, bad)
    assert (await fleet.joins.join(token_id, request())).nid == 1


async def test_the_place_of_a_node_removed_meanwhile_cannot_be_taken(fleet: Services) -> None:
    await fleet.join("web-1")
    token_id = await token(fleet, nid=1)
    await fleet.nodes.remove("web-1")
    with pytest.raises(NotFound, match="removed"):
        await fleet.joins.join(token_id, request())


async def test_renewal_gives_the_same_identity_another_serial(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    renewed = await fleet.joins.renew(agent, new_request(new_key(), "web-1"))
    identity = identity_of(certificates_from_pem(renewed.certificate_pem)[0])
    assert (identity.agent_id, identity.gid, identity.nid) == (agent.agent_id, agent.gid, agent.nid)
    assert (await fleet.nodes.agents())[0].certificate_serial == identity.serial != agent.serial
    await fleet.connect(agent)


async def test_a_removed_agent_cannot_renew(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.nodes.remove("web-1")
    with pytest.raises(Revoked):
        await fleet.joins.renew(agent, new_request(new_key(), "web-1"))
    with pytest.raises(UnknownNode):
        await fleet.joins.renew(
            AgentIdentity(agent_id="nobody", gid=1, nid=1, serial="1"), new_request(new_key(), "web-1")
        )
