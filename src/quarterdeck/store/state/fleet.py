"""The row that binds the state to its fleet: the fingerprint of the fleet's CA."""

from __future__ import annotations

from sqlalchemy import exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.store.state.schema import agent, api_token, fleet, join_token

_NUMBER = 1


async def find_ca(connection: AsyncConnection) -> str | None:
    """Return the SHA-256 of the CA's certificate in hex; "" while the fleet is being founded, None before."""
    return (await connection.execute(select(fleet.c.ca_sha256))).scalar_one_or_none()


async def add(connection: AsyncConnection) -> None:
    """Record that a fleet is being founded, whose CA is about to be created."""
    await connection.execute(insert(fleet).values(number=_NUMBER, ca_sha256=""))


async def set_ca(connection: AsyncConnection, sha256: str) -> None:
    """Record the fingerprint of this fleet's CA."""
    await connection.execute(update(fleet).values(ca_sha256=sha256))


async def was_used(connection: AsyncConnection) -> bool:
    """Return whether a server has used this store before, even of a release without this row."""
    used = or_(
        *(exists(select(table.c[key])) for table, key in ((api_token, "id"), (join_token, "id"), (agent, "agent_id")))
    )
    return bool((await connection.execute(select(used))).scalar_one())
