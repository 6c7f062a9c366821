"""Nodes and their agents: a host the fleet knows, and our process on it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from quarterdeck.model.struct import Struct, Wire
from quarterdeck.model.transitions import Transitions


class NodeKey(NamedTuple):
    """Which node: unique in the fleet."""

    gid: int
    nid: int

    def __str__(self) -> str:
        """As people and selectors write it: gid/nid."""
        return f"{self.gid}/{self.nid}"


class AgentState(StrEnum):
    """Whether an agent's link is up. TERMINATED: its node was removed, or another agent took the node's place."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    TERMINATED = "TERMINATED"


AGENT_TRANSITIONS = Transitions(
    "agent",
    {
        AgentState.ONLINE: frozenset({AgentState.OFFLINE, AgentState.TERMINATED}),
        AgentState.OFFLINE: frozenset({AgentState.ONLINE, AgentState.TERMINATED}),
        AgentState.TERMINATED: frozenset(),
    },
)


class AgentIdentity(Wire, frozen=True, kw_only=True):
    """Who an agent is, as its certificate says; never what a message says."""

    agent_id: str
    gid: int
    nid: int
    serial: str  #: of the certificate, in hex; a renewed one has another

    @property
    def key(self) -> NodeKey:
        """The node it stands for."""
        return NodeKey(self.gid, self.nid)


class Facts(Wire, frozen=True, kw_only=True):
    """What an agent knows of its host; sent at every connect and whenever it changes."""

    hostname: str = ""
    os: str = ""  #: pretty name, e.g. "Debian GNU/Linux 12 (bookworm)"
    kernel: str = ""  #: uname release
    arch: str = ""  #: uname machine
    cpus: int = 0  #: logical CPUs
    memory_bytes: int = 0
    addresses: tuple[str, ...] = ()  #: IPv4 and IPv6 of all interfaces but loopback
    machine_id: str = ""
    boot_id: str = ""
    agent_version: str = ""
    ebpf: bool = False  #: whether modules can run here
    ebpf_reason: str = ""  #: why not, in words
    cgroups: str = ""  #: what holds a process and all it starts together: v2, v1, hybrid (both), or none


class Node(Struct, frozen=True, kw_only=True):
    """A host the fleet knows. `gid` and `nid` together are its identity; the rest may change."""

    gid: int
    nid: int
    name: str
    agent_id: str
    state: AgentState
    labels: dict[str, str] = {}
    facts: Facts = Facts()
    revision: int = 0  #: of the desired set the server wants
    acted_revision: int = 0  #: of the desired set the agent last acted on
    joined_at: float = 0.0  #: seconds since the epoch
    seen_at: float = 0.0  #: seconds since the epoch; last message

    @property
    def key(self) -> NodeKey:
        """Its identity."""
        return NodeKey(self.gid, self.nid)


class Selector(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which nodes are meant. Empty means every node; all given parts must hold; labels all must match."""

    labels: dict[str, str] = {}
    nodes: tuple[str, ...] = ()  #: node names or "gid/nid" or nid
    gid: int | None = None
    roles: tuple[str, ...] = ()  #: a node has all of them; its roles are what its label `role` says, "web" or "web,db"

    def matches(self, key: NodeKey, *, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node with this identity and these labels is meant."""
        if self.roles and not set(labels.get("role", "").split(",")).issuperset(self.roles):
            return False
        if self.gid is not None and key.gid != self.gid:
            return False
        if self.nodes and not {name, str(key.nid), str(key)} & set(self.nodes):
            return False
        return all(labels.get(label) == value for label, value in self.labels.items())


class AgentRecord(Struct, frozen=True, kw_only=True):
    """One agent as `listAgent` answers it. A node whose agent was replaced has older ones in TERMINATED."""

    agent_id: str
    gid: int
    nid: int
    node_name: str
    state: AgentState
    version: str = ""
    create_time: float = 0.0
    last_update_time: float = 0.0
    certificate_serial: str = ""
    certificate_expires: float = 0.0
