"""Rows of modules. A module's build is in a row of its own (`artefacts.py`), so that it is read once."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import ModuleState
from quarterdeck.model.nodes import Selector
from quarterdeck.store.state.schema import module


class StoredModule(NamedTuple):
    """A module, with its build named instead of included. The fields have the names of the table's columns."""

    id: str
    name: str
    digest: str
    builtin: bool
    desire_state: ModuleState
    selector: Selector
    settings: dict[str, SettingValue]
    create_time: float
    last_update_time: float


_MODULES = select(*(module.c[name] for name in StoredModule._fields))


async def find_all(connection: AsyncConnection) -> list[StoredModule]:
    """Return every module, in the order of their names."""
    return [StoredModule(*row) for row in await connection.execute(_MODULES.order_by(module.c.name))]


async def find(connection: AsyncConnection, reference: str) -> StoredModule | None:
    """Return one module by name or id."""
    if not reference.isprintable():  # names are printable, and PostgreSQL refuses NUL
        return None
    query = _MODULES.where(or_(module.c.name == reference, module.c.id == reference))
    row = (await connection.execute(query)).first()
    return None if row is None else StoredModule(*row)


async def add(connection: AsyncConnection, new: StoredModule) -> None:
    """Add a module."""
    await connection.execute(insert(module).values(**new._asdict()))


async def change(connection: AsyncConnection, changed: StoredModule) -> None:
    """Replace the module of this id."""
    await connection.execute(update(module).where(module.c.id == changed.id).values(**changed._asdict()))


async def remove(connection: AsyncConnection, module_id: str) -> None:
    """Remove the module and its instances."""
    await connection.execute(delete(module).where(module.c.id == module_id))
