"""Nodes and their agents: a host of the fleet, and our process on it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from quarterdeck.model.struct import Name, Names, Struct, Text, Wire
from quarterdeck.model.transitions import Transitions


class NodeKey(NamedTuple):
    """The identity of a node, unique in the fleet."""

    gid: int
    nid: int

    def __str__(self) -> str:
        """Return the form that users and selectors write: gid/nid."""
        return f"{self.gid}/{self.nid}"


def names_of(key: NodeKey, name: str) -> frozenset[str]:
    """Return the names by which a list of nodes may refer to this node: its name, its nid, and gid/nid."""
    return frozenset((name, str(key.nid), str(key)))


#: the label that holds a node's roles, with commas between them
ROLE_LABEL = "role"


def roles_of(labels: Mapping[str, str]) -> frozenset[str]:
    """Return the roles in these labels."""
    return frozenset(labels[ROLE_LABEL].split(",")) if ROLE_LABEL in labels else frozenset()


class AgentState(StrEnum):
    """The state of an agent's link. TERMINATED: its node was removed, or another agent replaced it on the node."""

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
    """The identity of an agent. It comes from the agent's certificate, never from a message."""

    agent_id: str
    gid: int
    nid: int
    serial: str  #: of the certificate, in hex; a renewed certificate has another

    @property
    def key(self) -> NodeKey:
        """Return the key of its node."""
        return NodeKey(self.gid, self.nid)


class Facts(Wire, frozen=True, kw_only=True):
    """Properties of a host. The agent sends them at every connect and after every change."""

    hostname: Name = ""
    os: Name = ""  #: pretty name, e.g. "Debian GNU/Linux 12 (bookworm)"
    kernel: Name = ""  #: uname release
    arch: Name = ""  #: uname machine
    cpus: int = 0  #: logical CPUs
    memory_bytes: int = 0
    addresses: Names = ()  #: IPv4 and IPv6 of all interfaces but loopback
    machine_id: Name = ""
    boot_id: Name = ""
    agent_version: Name = ""
    ebpf: bool = False  #: whether modules can run here
    ebpf_reason: Text = ""  #: why modules cannot run
    cgroups: Name = ""  #: version of the cgroups that hold a process and its children: v2, v1, hybrid (both), or none


class Node(Struct, frozen=True, kw_only=True):
    """A host of the fleet. `gid` and `nid` together are its identity; everything else can change."""

    gid: int
    nid: int
    name: str
    agent_id: str
    state: AgentState
    labels: dict[str, str] = {}  #: labels in force
    claimed_labels: dict[str, str] = {}  #: labels that the agent claims and its join token does not allow: not in force
    facts: Facts = Facts()
    revision: int = 0  #: of the desired set the server wants
    acted_revision: int = 0  #: of the desired set the agent last acted on
    held_revision: int = 0  #: > 0: the agent has this later set, of a lost server state, and keeps it until a sync
    joined_at: float = 0.0  #: seconds since the epoch
    seen_at: float = 0.0  #: seconds since the epoch, of the last message

    @property
    def key(self) -> NodeKey:
        """Return its identity."""
        return NodeKey(self.gid, self.nid)


class Selector(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A selection of nodes. A node must match all given parts and all labels; an empty selector matches every node.

    A label matches when its value is the same. The label `role` holds a node's roles ("web" or "web,db"), and matches
    when the node has all roles that are asked for: `role=web` and `roles = ["web"]` select the same nodes.
    """

    labels: dict[str, str] = {}
    nodes: tuple[str, ...] = ()  #: node names, "gid/nid", or nid
    gid: int | None = None
    roles: tuple[str, ...] = ()  #: the same as the label `role`: a node has all of them, beside others

    def matches(self, key: NodeKey, *, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether a node with this identity and these labels matches."""
        if (self.roles or ROLE_LABEL in self.labels) and not self.wanted_roles <= roles_of(labels):
            return False
        if self.gid is not None and key.gid != self.gid:
            return False
        if self.nodes and names_of(key, name).isdisjoint(self.nodes):
            return False
        return all(labels.get(label) == value for label, value in self.labels.items() if label != ROLE_LABEL)

    @property
    def wanted_roles(self) -> frozenset[str]:
        """Return the roles that a node must have, written as `roles` or as the label `role`."""
        return frozenset(self.roles) | roles_of(self.labels)


class AgentRecord(Struct, frozen=True, kw_only=True):
    """One agent as `listAgent` returns it. A node whose agent was replaced also has older agents in TERMINATED."""

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
