"""Joining: how a host becomes a node, or a new agent takes an old one's place; and how certificates are renewed.

Owns the number and the identity a node gets, once for each join token. Refuses, and logs it, whatever else asks.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.certificates import certificate_to_pem
from quarterdeck.link.messages import JoinReply, JoinRequest, NewCertificate
from quarterdeck.model.errors import NotFound, Revoked, TokenExpired, TokenUsed, Unauthenticated
from quarterdeck.model.nodes import AgentIdentity, AgentRecord, AgentState, Node, NodeKey
from quarterdeck.model.tokens import JoinToken
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.desired import Desired
from quarterdeck.server.jobs.ledger import NOTHING, Changes, Ledger
from quarterdeck.server.names import check_facts, check_labels, check_name
from quarterdeck.server.sessions.links import Links
from quarterdeck.store.state import instances, nodes, services, tokens
from quarterdeck.store.state.database import Database

log = logging.getLogger(__name__)


class _Joined(NamedTuple):
    """What a join came to: the new agent's place, and the agent that had to go."""

    key: NodeKey
    agent_id: str
    certificate: x509.Certificate
    replaced: str
    lost: Changes = NOTHING  #: jobs that were lost with it


class Joins:
    """Lets nodes in."""

    def __init__(
        self,
        database: Database,
        *,
        authority: CertificateAuthority,
        desired: Desired,
        links: Links,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._authority = authority
        self._desired = desired
        self._links = links
        self._ledger = ledger
        self._clock = clock

    async def join(self, token_id: str, request: JoinRequest) -> JoinReply:
        """Gives the holder of a join token its number and certificate.

        The same joiner, by its key, may ask again in case our answer never reached it. `TokenUsed`, `TokenExpired`,
        `Revoked` (no such token), `BadInput` (the request itself).
        """
        name, labels = check_name(request.name, "node"), check_labels(request.labels)
        check_facts(request.facts)
        try:
            async with self._database.write() as transaction:
                found = await tokens.find_join(transaction, token_id)
                if found is None:
                    raise Revoked("This join token was revoked.", hint="Create another with `qd token create`.")
                token, key_sha256 = found
                if token.used_at is not None:
                    joined = await self._again(transaction, token, key_sha256, request)
                else:
                    joined = await self._first(transaction, token, name, labels=labels, request=request)
                touched = await self._desired.place(transaction, keys=[joined.key])
        except Unauthenticated as error:
            log.warning("refused '%s' with join token %s: %s", name, token_id, error)
            raise
        if joined.replaced:
            await self._links.cut(joined.replaced, Revoked("Another agent took this node's place."))
        await self._links.wake(touched)
        self._ledger.tell(joined.lost)
        return JoinReply(
            certificate_pem=certificate_to_pem(joined.certificate),
            ca_pem=self._authority.pem,
            agent_id=joined.agent_id,
            gid=joined.key.gid,
            nid=joined.key.nid,
        )

    async def renew(self, agent: AgentIdentity, csr_pem: bytes) -> NewCertificate:
        """Another certificate. The one it has is good until it ends, as this answer may get lost."""
        async with self._database.write() as transaction:
            if agent.agent_id not in await nodes.find_links(transaction, [agent.agent_id]):
                raise Revoked
            certificate = await self._issue(transaction, csr_pem, agent.agent_id, agent.key)
        return NewCertificate(certificate_pem=certificate_to_pem(certificate), ca_pem=self._authority.pem)

    async def _again(
        self, transaction: AsyncConnection, token: JoinToken, key_sha256: str, request: JoinRequest
    ) -> _Joined:
        link = (await nodes.find_links(transaction, [token.used_by])).get(token.used_by)
        if link is None:
            raise TokenUsed
        certificate = await self._issue(transaction, request.csr_pem, token.used_by, link.key)
        if _key_sha256(certificate) != key_sha256:
            raise TokenUsed
        return _Joined(link.key, token.used_by, certificate, replaced="")

    async def _first(
        self,
        transaction: AsyncConnection,
        token: JoinToken,
        name: str,
        *,
        labels: dict[str, str],
        request: JoinRequest,
    ) -> _Joined:
        now = self._clock()
        if token.expires_at <= now:
            raise TokenExpired
        agent_id = str(uuid.uuid4())
        if token.nid is None:
            key, replaced, lost = await nodes.allocate(transaction, token.gid), "", NOTHING
            node = Node(
                gid=key.gid,
                nid=key.nid,
                name=name,
                agent_id=agent_id,
                state=AgentState.OFFLINE,
                labels=token.labels,
                facts=request.facts,
                joined_at=now,
            )
            await nodes.add(transaction, node, agent_labels=labels)
        else:
            key = NodeKey(token.gid, token.nid)
            replaced, lost = await self._replace(transaction, key, token, agent_id=agent_id)
            await nodes.replace_agent(
                transaction, key, agent_id=agent_id, name=name, facts=request.facts, labels=labels
            )
        record = AgentRecord(
            agent_id=agent_id,
            gid=key.gid,
            nid=key.nid,
            node_name=name,
            state=AgentState.OFFLINE,
            version=request.facts.agent_version,
            create_time=now,
            last_update_time=now,
        )
        await nodes.add_agent(transaction, record, seen_at=now)
        certificate = await self._issue(transaction, request.csr_pem, agent_id, key)
        await tokens.use_join(transaction, token.id, agent_id=agent_id, key_sha256=_key_sha256(certificate), now=now)
        return _Joined(key, agent_id, certificate, replaced, lost)

    async def _replace(
        self, transaction: AsyncConnection, key: NodeKey, token: JoinToken, *, agent_id: str
    ) -> tuple[str, Changes]:
        """Ends the agent that stood for the node, and with it what it may have taken; its id, and those commands."""
        node = await nodes.find(transaction, key)
        if node is None:
            raise NotFound(
                f"The node {key}, whose place this token gives, was removed.",
                hint="Create a token without a node.",
            )
        own, _ = await nodes.labels_of(transaction, key)
        await nodes.set_labels(transaction, key, own | token.labels)
        await nodes.set_state(transaction, [node.agent_id], AgentState.TERMINATED, now=self._clock())
        await instances.clear_statuses(transaction, [key])
        await services.clear_statuses(transaction, [key])
        self._desired.forget(key)
        log.info("agent %s takes the place of %s as node %d/%d", agent_id, node.agent_id, key.gid, key.nid)
        lost = await self._ledger.end_node(
            transaction, key, reason="Another agent took the node's place.", only_offered=True
        )
        return node.agent_id, lost

    async def _issue(
        self, transaction: AsyncConnection, csr_pem: bytes, agent_id: str, key: NodeKey
    ) -> x509.Certificate:
        certificate = self._authority.issue(csr_pem, agent_id=agent_id, gid=key.gid, nid=key.nid)
        await nodes.set_certificate(
            transaction,
            agent_id,
            serial=f"{certificate.serial_number:x}",
            expires=certificate.not_valid_after_utc.timestamp(),
        )
        return certificate


def _key_sha256(certificate: x509.Certificate) -> str:
    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
