"""Tokens: join tokens, with which a node joins once, and API tokens, with which users and programs call the API."""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.model.struct import Struct


class Role(StrEnum):
    """The rights of an API token: a viewer reads, an operator also changes, an admin also manages tokens and nodes."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Return whether this role includes the rights of `needed`."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


class JoinToken(Struct, frozen=True, kw_only=True):
    """A join token as the server lists it. The secret is shown once and never stored."""

    id: str
    gid: int
    nid: int | None = None  #: the node whose agent the joining agent replaces, if any
    labels: dict[str, str] = {}
    allow_labels: tuple[str, ...] | None = None
    created_at: float = 0.0
    expires_at: float = 0.0
    used_at: float | None = None
    used_by: str = ""  #: id of the agent


class NewJoinToken(Struct, frozen=True, kw_only=True):
    """A newly created join token, with the text to pass to the new node."""

    token: str
    info: JoinToken


class ApiToken(Struct, frozen=True, kw_only=True):
    """An API token as the server lists it. Only a hash of the secret is stored."""

    id: str
    name: str
    role: Role
    created_at: float = 0.0
    expires_at: float | None = None
    #: last use, stored at most once a minute; of a use by way of another server it may be a minute old
    used_at: float | None = None


class NewApiToken(Struct, frozen=True, kw_only=True):
    """A newly created API token, with the text to send as `Authorization: Bearer …`."""

    token: str
    info: ApiToken


class CreateJoinToken(Struct, frozen=True, kw_only=True):
    """The body of createJoinToken. With `nid`, the joining agent replaces that node's; `labels` are set on the node.

    `allow_labels` are patterns (KEY or KEY=VALUE, with * and ?) of further labels that the node's agent may set and
    change. Without them, a token without labels and `nid` lets the joining host set labels once; any other token lets
    it set none.
    """

    gid: int | None = None
    nid: int | None = None
    labels: dict[str, str] = {}
    allow_labels: tuple[str, ...] | None = None
    expires_s: float = 3600.0


class CreateApiToken(Struct, frozen=True, kw_only=True):
    """The body of createApiToken."""

    name: str
    role: Role
    expires_s: float | None = None
