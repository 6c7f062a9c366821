"""Tokens: join tokens, with which a node joins once, and API tokens, with which people and programs ask."""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.model.struct import Struct


class Role(StrEnum):
    """What an API token may do: look; look and change; look, change and administer (tokens, nodes)."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may do."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


class JoinToken(Struct, frozen=True, kw_only=True):
    """A one-time token as the server lists it. The secret itself is shown once and never stored."""

    id: str
    gid: int
    nid: int | None = None  #: set: the node whose place the joining agent takes
    labels: dict[str, str] = {}
    created_at: float = 0.0
    expires_at: float = 0.0
    used_at: float | None = None
    used_by: str = ""  #: agent id


class NewJoinToken(Struct, frozen=True, kw_only=True):
    """A join token at the moment of its making, with the text to hand to the new node."""

    token: str
    info: JoinToken


class ApiToken(Struct, frozen=True, kw_only=True):
    """An API token as the server lists it; only a hash of the secret is stored."""

    id: str
    name: str
    role: Role
    created_at: float = 0.0
    expires_at: float | None = None


class NewApiToken(Struct, frozen=True, kw_only=True):
    """An API token at the moment of its making, with the text to send as `Authorization: Bearer …`."""

    token: str
    info: ApiToken


class CreateJoinToken(Struct, frozen=True, kw_only=True):
    """The body of createJoinToken. `nid` takes over that node's place; `labels` are given to the joining node."""

    gid: int | None = None
    nid: int | None = None
    labels: dict[str, str] = {}
    expires_s: float = 3600.0


class CreateApiToken(Struct, frozen=True, kw_only=True):
    """The body of createApiToken."""

    name: str
    role: Role
    expires_s: float | None = None
