"""Membership: what a node does when its server refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from quarterdeck.agent.identity import Identity, is_removed, save_identity
from quarterdeck.agent.joining import Joining
from quarterdeck.agent.membership import Membership
from quarterdeck.link.certificates import Credentials, certificate_to_pem, key_to_pem, new_key, new_request
from quarterdeck.model.errors import QuarterdeckError, Revoked, TokenUsed, Unauthenticated, UnknownNode
from quarterdeck.server.ca import CertificateAuthority


class Joins:
    """Joins with another identity, or raises."""

    def __init__(self, outcome: Identity | QuarterdeckError) -> None:
        self.outcome = outcome
        self.tokens: list[str] = []

    async def join(self, token: str) -> Identity:
        self.tokens.append(token)
        if isinstance(self.outcome, QuarterdeckError):
            raise self.outcome
        return self.outcome


class Node:
    def __init__(self, home: Path, *, token: str = "", outcome: QuarterdeckError | None = None) -> None:
        self.home = home
        self.authority = CertificateAuthority.open(home / "server", certificate_days=30)
        self.joins = Joins(outcome or self.identity("new"))
        self.changes, self.removals = 0, 0
        first = self.identity("first")
        save_identity(home, first)
        self.membership = Membership(
            home,
            identity=first,
            joining=cast("Joining", self.joins),
            token=token,
            changed=self.changed,
            removed=self.removed,
        )

    def identity(self, agent_id: str) -> Identity:
        key = new_key()
        certificate = self.authority.issue(new_request(key, agent_id), agent_id=agent_id, gid=1, nid=1)
        return Identity.of(
            Credentials(
                key_pem=key_to_pem(key), certificate_pem=certificate_to_pem(certificate), ca_pem=self.authority.pem
            )
        )

    def changed(self) -> None:
        self.changes += 1

    async def removed(self) -> None:
        assert not self.membership.ended.is_set(), "it is said only after all was told to end"
        self.removals += 1


@pytest.mark.parametrize("error", [Revoked(), UnknownNode()], ids=["revoked", "unknown"])
async def test_a_refused_node_joins_again_with_its_token_once(error: QuarterdeckError, tmp_path: Path) -> None:
    node = Node(tmp_path, token="token")
    await node.membership.refused(error)
    assert (node.membership.who().agent_id, node.changes, node.removals) == ("new", 1, 0)
    await node.membership.refused(UnknownNode())
    assert node.joins.tokens == ["token"]


async def test_a_removed_node_ends_everything_and_puts_its_identity_aside(tmp_path: Path) -> None:
    node = Node(tmp_path, token="token", outcome=TokenUsed())
    await node.membership.refused(Revoked())
    assert (node.removals, node.changes) == (1, 0)
    assert node.membership.ended.is_set()
    with pytest.raises(Revoked):
        node.membership.retire()
    assert is_removed(tmp_path)


@pytest.mark.parametrize("error", [UnknownNode(), Unauthenticated("no")], ids=["unknown", "unauthenticated"])
async def test_any_other_refusal_ends_nothing(error: QuarterdeckError, tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.membership.refused(error)
    node.membership.retire()
    assert (node.removals, node.changes, node.membership.ended.is_set()) == (0, 0, False)


async def test_a_renewed_certificate_is_kept_and_used(tmp_path: Path) -> None:
    node = Node(tmp_path)
    renewed = node.identity("first")
    node.membership.renewed(renewed)
    assert node.membership.identity == renewed
    assert node.changes == 1
