"""Joining: one request and reply, with a join token as the client's credential, give a new node its identity."""

from __future__ import annotations

from quarterdeck.link.limits import Pem
from quarterdeck.model.nodes import Facts
from quarterdeck.model.struct import Name, Pairs, Text, Wire


class JoinRequest(Wire, frozen=True, kw_only=True):
    """A new node's request for its identity. The private key of the CSR never leaves the node."""

    csr_pem: Pem
    name: Text
    labels: Pairs = {}
    facts: Facts = Facts()


class JoinReply(Wire, frozen=True, kw_only=True):
    """The identity: certificate, the CA to trust, and the ids that the certificate carries."""

    certificate_pem: Pem
    ca_pem: Pem
    agent_id: Name
    gid: int
    nid: int
