"""Joining: a host becomes a node, or a new agent replaces the agent of a node. Certificates are renewed here too.

Owns the number and the identity that a node gets, once for each join token. It refuses and logs every other request to
join. It never creates tokens.
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
from quarterdeck.model.errors import AlreadyExists, NotFound, Revoked, TokenExpired, TokenUsed, Unauthenticated
from quarterdeck.model.nodes import AgentIdentity, AgentRecord, AgentState, Node, NodeKey
from quarterdeck.model.tokens import JoinToken
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.jobs.ledger import NOTHING, Changes, Ledger
from quarterdeck.server.labels import at_join
from quarterdeck.server.names import check_facts, check_node_name, check_selectable
from quarterdeck.server.nodes import why_refused
from quarterdeck.server.placement.placements import DESIRED_SETS, Placements
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.signals import Signals
from quarterdeck.store.state import nodes, tokens
from quarterdeck.store.state.database import Database

log = logging.getLogger(__name__)


class _Joined(NamedTuple):
    """The result of a join: the new agent's node, and the agent that it replaced."""

    key: NodeKey
    agent_id: str
    certificate: x509.Certificate
    replaced: str
    lost: Changes = NOTHING  #: jobs that were lost with it


class Joins:
    """Admits nodes to the fleet."""

    def __init__(
        self,
        database: Database,
        *,
        authority: CertificateAuthority,
        placements: Placements,
        links: Links,
        signals: Signals,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._authority = authority
        self._placements = placements
        self._links = links
        self._signals = signals
        self._ledger = ledger
        self._clock = clock

    async def join(self, token_id: str, request: JoinRequest) -> JoinReply:
        """Return the number and the certificate of the holder of a join token.

        The same host, by its key, may repeat the request in case the answer was lost. Raise `TokenUsed`,
        `TokenExpired`, `Unauthenticated` (no such token), `AlreadyExists` (the name) or `BadInput` (the request).
        """
        name, said = check_node_name(request.name), check_selectable(request.labels)
        check_facts(request.facts)
        try:
            async with self._database.write() as transaction:
                found = await tokens.find_join(transaction, token_id)
                if found is None:
                    raise Unauthenticated(
                        "This join token was revoked, or this server's state does not know it.",
                        hint="Create another with `qd token create`.",
                    )
                token, key_sha256 = found
                if token.used_at is not None:
                    joined = await self._again(transaction, token, key_sha256, request)
                else:
                    joined = await self._first(transaction, token, name, said=said, request=request)
                touched = await self._placements.place(transaction, keys=[joined.key])
        except Unauthenticated as error:
            log.warning("refused '%s' with join token %s: %s", name, token_id, error)
            raise
        if joined.replaced:
            await self._links.cut(joined.replaced, Revoked("Another agent took this node's place."))
        self._signals.send(DESIRED_SETS, touched)
        self._ledger.tell(joined.lost)
        return JoinReply(
            certificate_pem=certificate_to_pem(joined.certificate),
            ca_pem=self._authority.pem,
            agent_id=joined.agent_id,
            gid=joined.key.gid,
            nid=joined.key.nid,
        )

    async def renew(self, agent: AgentIdentity, csr_pem: bytes) -> NewCertificate:
        """Issue a new certificate to an agent. The old one stays valid until it expires, as the answer may get lost."""
        async with self._database.write() as transaction:
            if agent.agent_id not in await nodes.find_links(transaction, [agent.agent_id]):
                raise (await why_refused(transaction, [agent]))[agent.agent_id]
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
        said: dict[str, str],
        request: JoinRequest,
    ) -> _Joined:
        now = self._clock()
        if token.expires_at <= now:
            raise TokenExpired
        agent_id = str(uuid.uuid4())
        place = None if token.nid is None else NodeKey(token.gid, token.nid)
        await _check_free(transaction, name, place=place)
        if place is None:
            key, replaced, lost = await nodes.allocate(transaction, token.gid), "", NOTHING
            node = Node(
                gid=key.gid,
                nid=key.nid,
                name=name,
                agent_id=agent_id,
                state=AgentState.OFFLINE,
                labels=at_join(token, said),
                facts=request.facts,
                joined_at=now,
            )
            await nodes.add(transaction, node, allowed_labels=token.allow_labels or ())
        else:
            key = place
            replaced, lost = await self._replace(transaction, key, token, agent_id=agent_id)
            rule = {} if token.allow_labels is None else {"allowed_labels": token.allow_labels}
            await nodes.replace_agent(transaction, key, agent_id=agent_id, name=name, facts=request.facts, **rule)
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
        """Terminate the node's agent and end the jobs that it may have accepted; return its id, and those jobs."""
        node = await nodes.find(transaction, key)
        if node is None:
            raise NotFound(
                f"The node {key}, whose place this token gives, was removed.",
                hint="Create a token without a node.",
            )
        own, _ = await nodes.labels_of(transaction, key)
        await nodes.set_labels(transaction, key, own | at_join(token, {}))
        await nodes.set_state(transaction, [node.agent_id], AgentState.TERMINATED, now=self._clock())
        await self._placements.began_anew(transaction, [key])
        self._placements.forget(key)
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


async def _check_free(transaction: AsyncConnection, name: str, *, place: NodeKey | None) -> None:
    """Raise `AlreadyExists` when a node other than the replaced one (`place`) has that name."""
    other = await nodes.has_name(transaction, name, but=place)
    if other is not None:
        raise AlreadyExists(
            f"There is already a node named '{name}' ({other}), and names are unique in a fleet.",
            hint="Start the agent with another --name. If it is the same host, remove the old node "
            f"(`qd node rm {other}`) or take its place (`qd token create --gid {other.gid} --nid {other.nid}`).",
        )


def _key_sha256(certificate: x509.Certificate) -> str:
    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
