"""Rows of join tokens and API tokens. They never contain a secret."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.tokens import ApiToken, JoinToken
from quarterdeck.store.state import logins
from quarterdeck.store.state.schema import api_token, join_token

_JOIN = select(*(join_token.c[name] for name in JoinToken.__struct_fields__))


class StoredApiToken(NamedTuple):
    """An API token and the SHA-256 of its secret."""

    info: ApiToken
    secret_sha256: str


async def add_join(connection: AsyncConnection, new: JoinToken, *, certificate_pem: bytes) -> None:
    """Add a join token."""
    fields = msgspec.structs.asdict(new)
    await connection.execute(insert(join_token).values(**fields, certificate_pem=certificate_pem, key_sha256=""))


async def find_join(connection: AsyncConnection, token_id: str) -> tuple[JoinToken, str] | None:
    """Return a join token, and the SHA-256 of the public key it was used with ("" when it is unused)."""
    query = _JOIN.add_columns(join_token.c.key_sha256).where(join_token.c.id == token_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    fields = dict(row)
    key_sha256: str = fields.pop("key_sha256")
    return JoinToken(**fields), key_sha256


async def find_all_join(connection: AsyncConnection) -> list[JoinToken]:
    """Return every join token, the newest first."""
    rows = await connection.execute(_JOIN.order_by(join_token.c.created_at.desc(), join_token.c.id))
    return [JoinToken(**row) for row in rows.mappings()]


async def join_certificates(connection: AsyncConnection, *, expired_after: float) -> list[bytes]:
    """Return the certificates of tokens that expire after that moment, used ones included."""
    query = select(join_token.c.certificate_pem).where(join_token.c.expires_at > expired_after)
    return list((await connection.execute(query)).scalars())


async def use_join(connection: AsyncConnection, token_id: str, *, agent_id: str, key_sha256: str, now: float) -> None:
    """Record that the token was used to join a node."""
    await connection.execute(
        update(join_token)
        .where(join_token.c.id == token_id)
        .values(used_at=now, used_by=agent_id, key_sha256=key_sha256)
    )


async def remove_join(connection: AsyncConnection, token_id: str) -> bool:
    """Remove a join token; return whether it existed."""
    if not token_id.isprintable():  # ids are printable, and PostgreSQL refuses NUL
        return False
    return (await connection.execute(delete(join_token).where(join_token.c.id == token_id))).rowcount > 0


async def add_api(connection: AsyncConnection, new: ApiToken, *, secret_sha256: str) -> None:
    """Add an API token."""
    await connection.execute(insert(api_token).values(**msgspec.structs.asdict(new), secret_sha256=secret_sha256))


async def find_all_api(connection: AsyncConnection) -> list[StoredApiToken]:
    """Return every API token with its hash, in the order of their names."""
    rows = await connection.execute(select(api_token).order_by(api_token.c.name))
    found: list[StoredApiToken] = []
    for row in rows.mappings():
        fields = dict(row)
        secret_sha256: str = fields.pop("secret_sha256")
        found.append(StoredApiToken(ApiToken(**fields), secret_sha256))
    return found


async def find_ids_api(connection: AsyncConnection, ids: Collection[str]) -> set[str]:
    """Return those of these ids that API tokens have."""
    return set((await connection.execute(select(api_token.c.id).where(api_token.c.id.in_(ids)))).scalars())


async def set_used_api(connection: AsyncConnection, used: Mapping[str, float]) -> None:
    """Set the time of the last use of these tokens, unless a later one is stored. Ids of removed tokens are ignored."""
    statement = (
        update(api_token)
        .where(api_token.c.id == bindparam("token"), func.coalesce(api_token.c.used_at, 0.0) < bindparam("at"))
        .values(used_at=bindparam("at"))
    )
    await connection.execute(statement, [{"token": id_, "at": at} for id_, at in used.items()])


async def remove_api(connection: AsyncConnection, token_id: str) -> bool:
    """Remove an API token with its logins; return whether it existed."""
    if not token_id.isprintable():  # ids are printable, and PostgreSQL refuses NUL
        return False
    await logins.remove_of_token(connection, token_id)
    return (await connection.execute(delete(api_token).where(api_token.c.id == token_id))).rowcount > 0
