"""Turns a host into a node: joins once with a one-time token; afterwards the identity is sufficient."""

from __future__ import annotations

import logging
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from quarterdeck.agent.identity import Identity, is_removed, load_identity, save_identity
from quarterdeck.kit.files import write_private
from quarterdeck.link.certificates import Credentials, key_from_pem, key_to_pem, new_key, new_request
from quarterdeck.link.join_tokens import parse
from quarterdeck.link.messages import JoinRequest
from quarterdeck.link.trust import fetch_ca
from quarterdeck.link.wire import AgentWire
from quarterdeck.model.errors import BadConfig, Revoked, Unauthenticated
from quarterdeck.model.nodes import Facts

log = logging.getLogger(__name__)

REJOIN = "To join it again, create a token on the server (`qd token create`) and start the agent with --token."


class Joining:
    """Joins `name` with `labels` over `wire`, and keeps the identity below `home`."""

    def __init__(
        self, home: Path, *, wire: AgentWire, address: str, name: str, labels: dict[str, str], facts: Facts
    ) -> None:
        self._home = home
        self._wire = wire
        self._address = address
        self._name = name
        self._labels = labels
        self._facts = facts

    async def identity(self, token: str) -> Identity:
        """Return the identity that this node has, or get one with the token.

        Raise `BadConfig` when there is neither, and `Revoked` when it had one and was removed from its fleet.
        """
        known = load_identity(self._home)
        if known is not None and known.lifetime_left() > 0:
            if token:
                log.info("this node is %s already; the join token is not used", known.agent.agent_id)
            return known
        if token:
            return await self.join(token)
        if known is not None:
            raise Unauthenticated(
                "This node's certificate has expired: it was away for longer than a certificate lasts.",
                hint=REJOIN,
            )
        if is_removed(self._home):
            raise Revoked("This node was removed from its fleet.", hint=REJOIN)
        raise BadConfig(
            "This node has not joined a fleet.",
            hint="Create a token on the server (`qd token create`) and start the agent with --token.",
        )

    async def join(self, text: str) -> Identity:
        """Join with the token, whatever the earlier identity; raise `TokenUsed`, `TokenExpired`, `Unavailable` …"""
        token = parse(text)
        ca_pem = await fetch_ca(self._address, token)
        key = self._key_for(token.token_id)
        request = JoinRequest(
            csr_pem=new_request(key, self._name), name=self._name, labels=self._labels, facts=self._facts
        )
        link = self._wire.connect(
            Credentials(key_pem=token.key_pem, certificate_pem=token.certificate_pem, ca_pem=ca_pem)
        )
        try:
            reply = await link.join(request)
        finally:
            await link.close()
        identity = Identity.of(
            Credentials(key_pem=key_to_pem(key), certificate_pem=reply.certificate_pem, ca_pem=reply.ca_pem)
        )
        save_identity(self._home, identity)
        self._key_path(token.token_id).unlink(missing_ok=True)
        log.info("joined as node %d/%d (%s)", identity.agent.gid, identity.agent.nid, identity.agent.agent_id)
        return identity

    def _key_path(self, token_id: str) -> Path:
        return self._home / f"join-{token_id}.key"

    def _key_for(self, token_id: str) -> ec.EllipticCurvePrivateKey:
        """Return the key of this join, kept until it succeeds: the server recognises a repeated join by its key."""
        path = self._key_path(token_id)
        if path.exists():
            return key_from_pem(path.read_bytes())
        key = new_key()
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, key_to_pem(key))
        return key
