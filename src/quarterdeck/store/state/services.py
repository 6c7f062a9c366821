"""Rows of the declarations of services. Their desired state on nodes is in placements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.services import Service
from quarterdeck.store.state.schema import service


class StoredService(NamedTuple):
    """A service. The fields have the names of the table's columns."""

    name: str
    group: str
    version: str
    body: Service
    actor: str
    create_time: float
    last_update_time: float


_SERVICES = select(*(service.c[name] for name in StoredService._fields))


async def find_all(connection: AsyncConnection) -> dict[str, StoredService]:
    """Return every service by its name, in the order of the names."""
    rows = [StoredService(*row) for row in await connection.execute(_SERVICES.order_by(service.c.name))]
    return {row.name: row for row in rows}


async def find(connection: AsyncConnection, name: str) -> StoredService | None:
    """Return one service by its name."""
    if not name.isprintable():  # names are printable, and PostgreSQL refuses NUL
        return None
    row = (await connection.execute(_SERVICES.where(service.c.name == name))).first()
    return None if row is None else StoredService(*row)


async def save(connection: AsyncConnection, services: Sequence[StoredService]) -> None:
    """Save these services, in place of those with the same names."""
    await remove(connection, [row.name for row in services])
    if services:
        await connection.execute(insert(service), [row._asdict() for row in services])


async def remove(connection: AsyncConnection, names: Sequence[str]) -> None:
    """Remove the declarations of services. `Placements.place` decides what nodes run of them."""
    if names:
        await connection.execute(delete(service).where(service.c.name == bindparam("b_name")), _named(names))


def _named(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"b_name": name} for name in names]
