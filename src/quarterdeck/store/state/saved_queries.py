"""Rows of saved queries. `server/saved_queries.py` decides what may replace one."""

from __future__ import annotations

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.saved_queries import SavedQuery
from quarterdeck.store.state.schema import saved_query

_QUERIES = select(*(saved_query.c[name] for name in SavedQuery.__struct_fields__))


async def find_all(connection: AsyncConnection) -> list[SavedQuery]:
    """Return all saved queries by name."""
    rows = await connection.execute(_QUERIES.order_by(saved_query.c.name))
    return [SavedQuery(**row) for row in rows.mappings()]


async def find(connection: AsyncConnection, name: str) -> SavedQuery | None:
    """Return one saved query by its name."""
    if not name.isprintable():  # names are printable, and PostgreSQL refuses NUL
        return None
    row = (await connection.execute(_QUERIES.where(saved_query.c.name == name))).mappings().one_or_none()
    return None if row is None else SavedQuery(**row)


async def count(connection: AsyncConnection) -> int:
    """Return how many there are."""
    return (await connection.execute(select(func.count()).select_from(saved_query))).scalar_one()


async def add(connection: AsyncConnection, new: SavedQuery) -> None:
    """Add a saved query."""
    await connection.execute(insert(saved_query).values(**msgspec.structs.asdict(new)))


async def replace(connection: AsyncConnection, query: SavedQuery) -> None:
    """Store this query in place of the one with the same name."""
    fields = msgspec.structs.asdict(query)
    await connection.execute(update(saved_query).where(saved_query.c.name == query.name).values(**fields))


async def remove(connection: AsyncConnection, name: str) -> bool:
    """Remove a saved query; return whether it existed."""
    if not name.isprintable():
        return False
    return (await connection.execute(delete(saved_query).where(saved_query.c.name == name))).rowcount > 0
