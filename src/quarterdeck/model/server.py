"""What a server says of itself."""

from __future__ import annotations

from quarterdeck.model.struct import Struct


class ServerInfo(Struct, frozen=True, kw_only=True):
    """Version, addresses and stores of a running server."""

    version: str
    link: str
    link_https: str = ""  #: of agents whose network lets only HTTPS through; "" for nowhere
    http: str
    state_store: str  #: "sqlite", "postgresql", …
    telemetry_store: str  #: "chdb" or "clickhouse"
    started_at: float  #: seconds since the epoch
    nodes: int
    nodes_online: int
