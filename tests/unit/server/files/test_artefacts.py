"""Artefacts: bytes by hash, piece by piece."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.model.errors import NotFound
from tests.services import Services, make_build


async def test_an_artefact_is_read_in_pieces(fleet: Services) -> None:
    body = bytes(range(256)) * (ARTEFACT_CHUNK_BYTES // 256 * 2 + 1)
    sha256 = hashlib.sha256(body).hexdigest()
    async with fleet.database.write() as transaction:
        await fleet.artefacts.add(transaction, make_build("execs").build, {sha256: body})
    found, offset = b"", 0
    while offset < len(body):
        chunk = await fleet.artefacts.chunk(sha256, offset)
        assert (chunk.sha256, chunk.offset, chunk.size) == (sha256, offset, len(body))
        found += chunk.data
        offset += len(chunk.data)
    assert found == body
    assert (await fleet.artefacts.chunk(sha256, len(body) + 5)).data == b""


async def test_an_unknown_artefact_is_not_found(fleet: Services) -> None:
    with pytest.raises(NotFound):
        await fleet.artefacts.chunk("0" * 64, 0)


async def test_the_same_build_is_kept_once(fleet: Services) -> None:
    built = make_build("execs")
    for _ in range(2):
        async with fleet.database.write() as transaction:
            await fleet.artefacts.add(transaction, built.build, built.artefacts)
    async with fleet.database.read() as transaction:
        assert await fleet.artefacts.builds(transaction, [built.build.digest]) == {built.build.digest: built.build}


async def test_builds_that_are_read_while_others_are_forgotten_are_all_there(fleet: Services) -> None:
    first, second = await fleet.create("a"), await fleet.create("b")
    fleet.artefacts._builds.clear()
    async with fleet.database.read() as transaction:
        await fleet.artefacts.builds(transaction, [first.build.digest])
        reading = asyncio.create_task(fleet.artefacts.builds(transaction, [first.build.digest, second.build.digest]))
        await asyncio.sleep(0)
        fleet.artefacts._builds.clear()  # as `prune` does
        assert set(await reading) == {first.build.digest, second.build.digest}
