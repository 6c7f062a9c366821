"""Rows of logins and sign-in codes. They never contain a secret, and exist no longer than their API token."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.logins import Login
from quarterdeck.model.tokens import ApiToken
from quarterdeck.store.state.schema import api_token, login, sign_in_code

_TOKEN = tuple(api_token.c[name] for name in ApiToken.__struct_fields__)
#: the fields of a login that its row has; the others are its token's
_OWN = tuple(name for name in Login.__struct_fields__ if name not in {"name", "role"})
_LOGINS = select(login.c.secret_sha256, *(login.c[name] for name in _OWN), *_TOKEN).join(
    api_token, api_token.c.id == login.c.token_id
)


class StoredLogin(NamedTuple):
    """A login, its API token, and the SHA-256 of its cookie's secret."""

    info: Login
    token: ApiToken
    secret_sha256: str


async def add_code(connection: AsyncConnection, code_sha256: str, *, token_id: str, expires_at: float) -> None:
    """Add a sign-in code."""
    await connection.execute(
        insert(sign_in_code).values(code_sha256=code_sha256, token_id=token_id, expires_at=expires_at)
    )


async def find_code(connection: AsyncConnection, code_sha256: str, *, now: float) -> ApiToken | None:
    """Return the API token of a code that has not expired."""
    query = (
        select(*_TOKEN)
        .join(sign_in_code, sign_in_code.c.token_id == api_token.c.id)
        .where(sign_in_code.c.code_sha256 == code_sha256, sign_in_code.c.expires_at > now)
    )
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _token(row)


async def remove_code(connection: AsyncConnection, code_sha256: str) -> bool:
    """Remove a code; return whether it existed. Of several transactions only one removes it."""
    done = await connection.execute(delete(sign_in_code).where(sign_in_code.c.code_sha256 == code_sha256))
    return done.rowcount > 0


async def add(connection: AsyncConnection, new: Login, *, secret_sha256: str) -> None:
    """Add a login."""
    own = {name: getattr(new, name) for name in _OWN}
    await connection.execute(insert(login).values(**own, secret_sha256=secret_sha256))


async def find(connection: AsyncConnection, login_id: str, *, now: float) -> StoredLogin | None:
    """Return a login that has not expired, with its API token."""
    if not login_id.isprintable():  # ids are printable, and PostgreSQL refuses NUL
        return None
    query = _LOGINS.where(login.c.id == login_id, login.c.expires_at > now)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _stored(row)


async def find_ids(connection: AsyncConnection, ids: Collection[str]) -> set[str]:
    """Return those of these ids that logins have."""
    return set((await connection.execute(select(login.c.id).where(login.c.id.in_(ids)))).scalars())


async def find_all(connection: AsyncConnection, *, now: float) -> list[Login]:
    """Return every login that has not expired, the newest first."""
    query = _LOGINS.where(login.c.expires_at > now).order_by(login.c.create_time.desc(), login.c.id)
    return [_stored(row).info for row in await connection.execute(query)]


async def set_seen(connection: AsyncConnection, seen: Mapping[str, float]) -> None:
    """Set when the last requests of these logins arrived, unless a later time is stored. Ended ones are ignored."""
    statement = (
        update(login)
        .where(login.c.id == bindparam("login"), login.c.seen_at < bindparam("at"))
        .values(seen_at=bindparam("at"))
    )
    await connection.execute(statement, [{"login": id_, "at": at} for id_, at in seen.items()])


async def remove(connection: AsyncConnection, login_id: str) -> bool:
    """Remove a login; return whether it existed."""
    if not login_id.isprintable():  # ids are printable, and PostgreSQL refuses NUL
        return False
    return (await connection.execute(delete(login).where(login.c.id == login_id))).rowcount > 0


async def remove_of_token(connection: AsyncConnection, token_id: str) -> None:
    """Remove the logins and codes of an API token."""
    await connection.execute(delete(login).where(login.c.token_id == token_id))
    await connection.execute(delete(sign_in_code).where(sign_in_code.c.token_id == token_id))


async def remove_surplus(connection: AsyncConnection, token_id: str, *, now: float, kept: int) -> None:
    """Remove what has expired, and of one API token all but the newest `kept` logins and `kept` codes."""
    for table, key in ((login, login.c.id), (sign_in_code, sign_in_code.c.code_sha256)):
        await connection.execute(delete(table).where(table.c.expires_at <= now))
        newest = select(key).where(table.c.token_id == token_id).order_by(table.c.expires_at.desc(), key)
        surplus = list((await connection.execute(newest.offset(kept))).scalars())
        if surplus:
            await connection.execute(delete(table).where(key.in_(surplus)))


def _token(values: Sequence[Any]) -> ApiToken:
    return ApiToken(**dict(zip(ApiToken.__struct_fields__, values, strict=True)))


def _stored(row: Sequence[Any]) -> StoredLogin:
    secret_sha256, own, token = row[0], row[1 : 1 + len(_OWN)], _token(row[1 + len(_OWN) :])
    info = Login(**dict(zip(_OWN, own, strict=True)), name=token.name, role=token.role)
    return StoredLogin(info, token, secret_sha256)
