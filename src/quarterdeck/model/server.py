"""A server's information about itself."""

from __future__ import annotations

from quarterdeck.model.struct import Struct


class ServerInfo(Struct, frozen=True, kw_only=True):
    """Version, addresses and stores of a running server."""

    version: str
    protocol: int | None = None  #: version of the link's protocol; None: of a server that does not state it
    link: str
    link_https: str = ""  #: link address for agents whose network allows only HTTPS; "": none
    http: str
    state_store: str  #: "sqlite", "postgresql", …
    telemetry_store: str  #: "chdb" or "clickhouse"
    started_at: float  #: seconds since the epoch
    nodes: int
    nodes_online: int
    problems: tuple[str, ...] = ()  #: faults that need an operator


class Ready(Struct, frozen=True, kw_only=True):
    """The answer of `/readyz`: both stores can be used."""

    status: str = "ready"
    problems: tuple[str, ...] = ()  #: faults that need an operator although both stores can be used
