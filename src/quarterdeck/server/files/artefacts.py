"""Builds and the bytes of their artefacts, named by hash; scripts are read here too.

Owns a cache of those in use, because all nodes fetch the same ones. It never decides who may fetch them: `grants` does.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.link.messages import ArtefactChunk
from quarterdeck.model.errors import NotFound
from quarterdeck.model.modules import Build
from quarterdeck.store.state import artefacts as rows
from quarterdeck.store.state import scripts
from quarterdeck.store.state.database import Database

#: bytes of artefacts kept in memory
CACHE_BYTES = 64 * 1024 * 1024


class Artefacts:
    """Adds builds, reads them, and reads artefacts piece by piece."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._builds: dict[str, Build] = {}
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._loading = asyncio.Lock()

    async def add(self, transaction: AsyncConnection, build: Build, artefacts: Mapping[str, bytes]) -> None:
        """Store a build with its artefacts (by sha256)."""
        await rows.add(transaction, build, artefacts, now=self._clock())

    async def builds(self, transaction: AsyncConnection, digests: Iterable[str]) -> Mapping[str, Build]:
        """Return the builds with these digests."""
        wanted = set(digests)
        known = {digest: self._builds[digest] for digest in wanted & self._builds.keys()}
        if wanted - known.keys():
            read = await rows.find_builds(transaction, wanted - known.keys())
            self._builds |= read
            known |= read
        return known

    async def prune(self, transaction: AsyncConnection) -> None:
        """Remove builds and artefacts that nothing uses any more."""
        await rows.prune(transaction)
        self._builds.clear()
        self._bodies.clear()

    async def chunk(self, sha256: str, offset: int) -> ArtefactChunk:
        """Return the bytes from `offset` on, at most one chunk. Raise `NotFound` when the artefact does not exist."""
        body = await self._body(sha256)
        if body is None:
            raise NotFound(
                f"The server has no file or artefact {sha256[:64]}.",
                hint="It was removed, or never sent; see `qd file ls`.",
            )
        offset = max(0, offset)
        return ArtefactChunk(
            sha256=sha256, offset=offset, size=len(body), data=body[offset : offset + ARTEFACT_CHUNK_BYTES]
        )

    async def _body(self, sha256: str) -> bytes | None:
        async with self._loading:  # the first caller reads it, the others find it in the cache
            body = self._bodies.get(sha256)
            if body is None:
                async with self._database.read() as transaction:
                    body = await rows.find_body(transaction, sha256)
                    if body is None:
                        body = await scripts.find_body(transaction, sha256)
                if body is None:
                    return None
                self._bodies[sha256] = body
                while sum(map(len, self._bodies.values())) > CACHE_BYTES and len(self._bodies) > 1:
                    self._bodies.popitem(last=False)
            self._bodies.move_to_end(sha256)
            return body
