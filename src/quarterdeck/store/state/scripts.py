"""Rows of scripts. They are named by their hash, never change, and stay while a command or a schedule names them."""

from __future__ import annotations

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.store.state.schema import command, schedule, script


async def add(connection: AsyncConnection, sha256: str, body: bytes) -> None:
    """Add a script; an existing one stays as it is."""
    if not await has(connection, sha256):
        await connection.execute(insert(script).values(sha256=sha256, size=len(body), body=body))


async def has(connection: AsyncConnection, sha256: str) -> bool:
    """Return whether the script exists."""
    return (await connection.execute(select(script.c.size).where(script.c.sha256 == sha256))).first() is not None


async def find_body(connection: AsyncConnection, sha256: str) -> bytes | None:
    """Return the bytes of a script."""
    return (await connection.execute(select(script.c.body).where(script.c.sha256 == sha256))).scalar_one_or_none()


async def prune(connection: AsyncConnection) -> int:
    """Remove scripts that no command and no schedule names; return how many were removed."""
    asked = exists().where(command.c.script == script.c.sha256)
    scheduled = exists().where(schedule.c.script == script.c.sha256)
    return (await connection.execute(delete(script).where(~asked, ~scheduled))).rowcount
