"""The first and last messages of a connection, and its heartbeats."""

from __future__ import annotations

from quarterdeck.model.nodes import Facts
from quarterdeck.model.struct import Name, Pairs, Text, Texts, Wire

PROTOCOL_VERSION = 2


class Hello(Wire, frozen=True, kw_only=True, tag="hello"):
    """The first message of every connection. The server decides which of `labels`, the agent's own, count."""

    protocol: int
    facts: Facts
    labels: Pairs = {}
    acted_revision: int = 0
    held_revision: int = 0  #: of the desired set that the agent holds, acted on or not yet


class Heartbeat(Wire, frozen=True, kw_only=True, tag="heartbeat"):
    """Shows that the agent is alive. Not answered."""

    sent_at: float  #: seconds since the epoch by the agent's clock


class Welcome(Wire, frozen=True, kw_only=True, tag="welcome"):
    """The answer to Hello. A `Desired` follows, unless the server's state is older than the agent's desired set."""

    gid: int
    nid: int
    heartbeat_s: float
    server_time: float  #: seconds since the epoch
    notices: Texts = ()  #: information for the administrator of the node


class Refused(Wire, frozen=True, kw_only=True, tag="refused"):
    """Refuses the agent with a reason; `code` is an error code of model/errors. The connection ends after it."""

    code: Name
    reason: Text
