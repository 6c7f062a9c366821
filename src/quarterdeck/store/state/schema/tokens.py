"""Join tokens and API tokens."""

from __future__ import annotations

from sqlalchemy import Column, Named, Table, TypedColumns

from quarterdeck.model.tokens import Role
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json, Word

Labels = dict[str, str]


class JoinTokenColumns(TypedColumns):
    """The public half of a join token: the certificate whose key its holder proves to have."""

    id: Named[str] = Column(primary_key=True)
    gid: Named[int]
    nid: Named[int | None]
    labels: Named[Labels] = Column(Json(dict[str, str]))
    allow_labels: Named[tuple[str, ...] | None] = Column(Json(tuple[str, ...]))
    certificate_pem: Named[bytes]
    created_at: Named[float]
    expires_at: Named[float]
    used_at: Named[float | None]
    used_by: Named[str]
    key_sha256: Named[str]  #: of the public key it was used with: the same node may ask again


class ApiTokenColumns(TypedColumns):
    """An API token; only the SHA-256 of its secret is stored."""

    id: Named[str] = Column(primary_key=True)
    name: Named[str] = Column(nullable=False, unique=True)
    role: Named[Role] = Column(Word(Role))
    secret_sha256: Named[str]
    created_at: Named[float]
    expires_at: Named[float | None]
    used_at: Named[float | None]


join_token = Table("join_token", metadata, JoinTokenColumns)
api_token = Table("api_token", metadata, ApiTokenColumns)
