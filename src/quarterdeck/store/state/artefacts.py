"""Rows of builds and of the bytes of their artefacts. Both are named by their hash and never change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.modules import Build
from quarterdeck.store.state.schema import artefact, build, module


async def add(connection: AsyncConnection, new: Build, artefacts: Mapping[str, bytes], *, now: float) -> None:
    """Add a build and its artefacts by sha256; existing ones stay as they are."""
    known = set((await connection.execute(select(artefact.c.sha256).where(artefact.c.sha256.in_(artefacts)))).scalars())
    rows = [
        {"sha256": sha256, "size": len(body), "body": body} for sha256, body in artefacts.items() if sha256 not in known
    ]
    if rows:
        await connection.execute(insert(artefact), rows)
    if (await connection.execute(select(build.c.digest).where(build.c.digest == new.digest))).first() is None:
        await connection.execute(insert(build).values(digest=new.digest, body=new, created_at=now))


async def find_builds(connection: AsyncConnection, digests: Iterable[str]) -> dict[str, Build]:
    """Return the builds with these digests."""
    query = select(build.c.digest, build.c.body).where(build.c.digest.in_(list(digests)))
    rows = await connection.execute(query)
    return {row.digest: row.body for row in rows}


async def find_body(connection: AsyncConnection, sha256: str) -> bytes | None:
    """Return the bytes of an artefact."""
    return (await connection.execute(select(artefact.c.body).where(artefact.c.sha256 == sha256))).scalar_one_or_none()


async def prune(connection: AsyncConnection) -> None:
    """Remove builds that no module uses, and artefacts that no build names."""
    removed = await connection.execute(delete(build).where(build.c.digest.not_in(select(module.c.digest))))
    if removed.rowcount == 0:
        return
    builds = (await connection.execute(select(build.c.body))).scalars()
    named = {part.sha256 for body in builds for part in (body.object, *body.transforms)}
    await connection.execute(delete(artefact).where(artefact.c.sha256.not_in(named)))
