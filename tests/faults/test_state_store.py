"""The state store when things go wrong: a full disk, a damaged file, a killed process."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from quarterdeck.model.errors import StorageCorrupt, StorageFull
from quarterdeck.server.audit import Audit
from quarterdeck.store.state.database import Database
from tests.disks import MB
from tests.faults.conftest import MakeDisk
from tests.state import sqlite_url

WRITER = """
import asyncio, sys
from quarterdeck.server.audit import Audit
from quarterdeck.store.state.database import Database

async def main():
    audit = Audit(await Database.open(sys.argv[1]))
    async def write(worker):
        for number in range(100_000):
            await audit.record(actor="a", role="admin", action="create", target=f"{worker}/{number}")
            print(f"{worker}/{number}", flush=True)
    await asyncio.gather(*(write(worker) for worker in range(4)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    for entries in (20, 37, 64):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        acknowledged = [(await process.stdout.readline()).decode().strip() for _ in range(entries)]
        process.kill()
        acknowledged += (await process.stdout.read()).decode().splitlines()
        await process.wait()
        database = await Database.open(url)
        stored = [entry.target for entry in await Audit(database).list(limit=10_000)]
        await database.close()
        assert set(acknowledged) <= set(stored)


async def test_a_full_disk_is_said_and_over_when_there_is_room(small_disk: MakeDisk, tmp_path: Path) -> None:
    disk = small_disk(tmp_path, MB)
    database = await Database.open(sqlite_url(disk.folder))
    audit = Audit(database)
    await audit.record(actor="a", role="admin", action="x", target="before")
    disk.fill()
    stored = 1

    async def write_until_full() -> None:
        nonlocal stored
        for _ in range(1000):
            await audit.record(actor="a", role="admin", action="x", target="t" * 1000)
            stored += 1

    with pytest.raises(StorageFull, match="full"):
        await write_until_full()
    assert len(await audit.list(limit=10_000)) == stored
    disk.clear()
    await audit.record(actor="a", role="admin", action="x", target="after")
    entries = await audit.list(limit=10_000)
    assert len(entries) == stored + 1
    assert entries[0].target == "after"
    await database.close()


@pytest.mark.parametrize(
    ("offset", "garbage"), [(0, b"not a database at all"), (4096, os.urandom(4096)), (100, b"\xff" * 64)]
)
async def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, offset: int, garbage: bytes) -> None:
    url = sqlite_url(tmp_path)
    database = await Database.open(url)
    for number in range(50):
        await Audit(database).record(actor="a", role="admin", action="x", target=f"{number}" * 100)
    await database.close()
    file = tmp_path / "state.db"
    content = bytearray(await asyncio.to_thread(file.read_bytes))
    content[offset : offset + len(garbage)] = garbage
    await asyncio.to_thread(file.write_bytes, content)
    with pytest.raises(StorageCorrupt) as caught:
        await Database.open(url)
    assert str(file) in caught.value.message
    assert "backup" in caught.value.hint
    assert await asyncio.to_thread(file.read_bytes) == content
