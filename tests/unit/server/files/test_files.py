"""Contents by their hash: uploaded in pieces, verified, bounded, forgotten when unused."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.model.errors import (
    BadInput,
    Conflict,
    InUse,
    NotFound,
    QuarterdeckError,
    StorageCorrupt,
    StorageFull,
    TooLarge,
)
from quarterdeck.server.files import files as module
from quarterdeck.server.files.files import Files
from tests.services import FakeClock
from tests.support import until

LARGE = os.urandom(ARTEFACT_CHUNK_BYTES * 2 + 7)
DAY_S = 86400.0


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make(folder: Path, *, limit_bytes: int = 2**30, clock: FakeClock | None = None) -> Files:
    return Files(folder, limit_bytes=limit_bytes, keep_s=7 * DAY_S, clock=clock or FakeClock())


async def pieces(*contents: bytes, cut: bool = False) -> AsyncIterator[bytes]:
    for content in contents:
        yield content
    if cut:
        raise ConnectionError


async def everything(files: Files, sha256: str) -> bytes:
    found, size = b"", await files.size(sha256)
    while len(found) < size:
        found += (await files.chunk(sha256, len(found))).data
    return found


async def test_a_small_content_is_added_once_and_read_again(tmp_path: Path) -> None:
    files = make(tmp_path)
    assert await files.add(b"print(1)", name="one.py") == await files.add(b"print(1)") == digest(b"print(1)")
    assert await files.add(b"") == digest(b"")
    assert await everything(files, digest(b"print(1)")) == b"print(1)"
    assert (await files.chunk(digest(b""), 0)).data == b""
    assert {(file.name, file.size) for file in await make(tmp_path).list()} == {("one.py", 8), ("", 0)}


async def test_an_upload_goes_on_where_it_was_cut_also_in_another_life(tmp_path: Path) -> None:
    files, sha256 = make(tmp_path), digest(LARGE)
    with pytest.raises(ConnectionError):
        await files.upload(sha256, pieces(LARGE[:1000], cut=True), offset=0, size=len(LARGE))
    files = make(tmp_path)
    status = await files.status(sha256)
    assert (status.size, status.complete) == (1000, False)
    with pytest.raises(Conflict, match="continues at byte 1000, not at 0"):
        await files.upload(sha256, pieces(LARGE), offset=0, size=len(LARGE))
    status = await files.upload(sha256, pieces(LARGE[1000:]), offset=1000, size=len(LARGE), name="large")
    assert (status.size, status.complete) == (len(LARGE), True)
    assert await everything(files, sha256) == LARGE
    assert [data async for data in files.read(sha256, 5, 15)] == [LARGE[5:15]]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []  # noqa: ASYNC240


async def test_an_upload_that_is_not_what_it_says_is_refused_and_begins_anew(tmp_path: Path) -> None:
    files, sha256 = make(tmp_path), digest(b"good")
    with pytest.raises(BadInput, match="damaged"):
        await files.upload(sha256, pieces(b"evil"), offset=0, size=4)
    with pytest.raises(TooLarge):
        await files.upload(sha256, pieces(b"goods"), offset=0, size=4)
    assert not files.has(sha256)
    with pytest.raises(BadInput):
        await files.upload("../state.db", pieces(b"x"), offset=0, size=1)
    begun = await files.status(sha256)
    status = await files.upload(sha256, pieces(b"good"[begun.size :]), offset=begun.size, size=4)
    assert status.complete


@pytest.mark.parametrize("begun", [b"evil", b"much longer than it"])
async def test_what_cannot_become_the_content_is_begun_anew(tmp_path: Path, begun: bytes) -> None:
    files, sha256 = make(tmp_path), digest(b"good")
    (tmp_path / f"{sha256}.{module.UPLOAD}.part").write_bytes(begun)
    arrival = await files.begin(sha256, size=4, source=module.UPLOAD)
    assert arrival.part.size == 0
    assert await files.append(arrival, b"good")
    await files.release(arrival)
    assert await everything(files, sha256) == b"good"


async def test_a_content_that_the_disk_does_not_give_back_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make(tmp_path)
    sha256 = await files.add(b"content")

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(StorageCorrupt, match="Input/output error"):
        await files.chunk(sha256, 0)


async def test_two_uploads_of_one_content_do_not_mix(tmp_path: Path) -> None:
    files, sha256 = make(tmp_path), digest(b"twice")
    arrival = await files.begin(sha256, size=5, source=module.UPLOAD)
    with pytest.raises(InUse):
        await files.upload(sha256, pieces(b"twice"), offset=0, size=5)
    await files.release(arrival)
    assert (await files.upload(sha256, pieces(b"twice"), offset=0, size=5)).complete


async def test_a_damaged_content_is_found_removed_and_can_come_again(tmp_path: Path) -> None:
    sha256 = await make(tmp_path).add(b"content")
    (tmp_path / sha256).write_bytes(b"rotten!")
    files = make(tmp_path)
    with pytest.raises(StorageCorrupt, match="damaged"):
        await files.chunk(sha256, 0)
    with pytest.raises(NotFound):
        await files.chunk(sha256, 0)
    assert await files.add(b"content") == sha256
    assert await everything(files, sha256) == b"content"


async def test_what_is_unused_is_removed_and_what_is_used_stays(tmp_path: Path) -> None:
    clock = FakeClock()
    files = make(tmp_path, clock=clock)
    used, unused = await files.add(b"used"), await files.add(b"unused")
    for path in tmp_path.iterdir():  # noqa: ASYNC240
        os.utime(path, (clock.now, clock.now))
    clock.now += 6 * DAY_S
    await files.chunk(used, 0)
    clock.now += 2 * DAY_S
    files.sweep()
    assert (files.has(used), files.has(unused)) == (True, False)
    assert {path.name for path in tmp_path.iterdir()} == {used, f"{used}.json"}  # noqa: ASYNC240


async def keep(files: Files, content: bytes, *, source: str) -> None:
    arrival = await files.begin(digest(content), size=len(content), source=source)
    try:
        await files.append(arrival, content)
    finally:
        await files.release(arrival)


async def test_what_a_node_sends_takes_the_place_of_its_own_alone(tmp_path: Path) -> None:
    clock = FakeClock()
    files = make(tmp_path, limit_bytes=400, clock=clock)
    await keep(files, b"u" * 100, source="upload")
    await keep(files, b"o" * 100, source="1-2")
    await keep(files, b"a" * 100, source="1-1")
    clock.now += DAY_S
    with pytest.raises(StorageFull, match="50% of it"):
        await keep(files, b"b" * 250, source="1-1")
    await keep(files, b"c" * 150, source="1-1")
    assert [files.has(digest(content)) for content in (b"u" * 100, b"o" * 100, b"a" * 100)] == [True, True, False]
    clock.now += DAY_S
    await keep(files, b"v" * 300, source="upload")  # of people, it may take anybody's
    assert not files.has(digest(b"o" * 100))


async def test_what_a_node_has_begun_counts_for_its_share(tmp_path: Path) -> None:
    files = make(tmp_path, limit_bytes=400)
    arrival = await files.begin(digest(b"x"), size=150, source="1-1")
    with pytest.raises(StorageFull):
        await files.begin(digest(b"y"), size=100, source="1-1")
    other = await files.begin(digest(b"y"), size=100, source="1-2")
    await files.release(arrival)
    await files.release(other)


async def test_the_longest_unused_make_room_and_those_in_use_do_not(tmp_path: Path) -> None:
    clock = FakeClock()
    files = make(tmp_path, limit_bytes=250, clock=clock)
    first, second = await files.add(b"1" * 100), await files.add(b"2" * 100)
    for place, sha256 in enumerate((second, first)):
        os.utime(tmp_path / sha256, (clock.now + place, clock.now + place))
    with pytest.raises(StorageFull, match=r"no space for 100 more bytes.*qd file rm"):
        await files.add(b"3" * 100)
    clock.now += 2 * module.IN_USE_S
    third = await files.add(b"3" * 100)
    assert [files.has(each) for each in (first, second, third)] == [True, False, True]
    with pytest.raises(TooLarge, match=r"max_bytes in \[server.files\]"):
        await files.add(b"4" * 300)
    await files.delete(first)
    with pytest.raises(NotFound):
        await files.delete(first)


async def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = make(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageFull, match="No space left"):
        await files.add(b"content")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


async def test_whoever_leaves_in_the_middle_leaves_it_consistent(tmp_path: Path) -> None:
    files, sha256 = make(tmp_path), digest(LARGE)

    async def slowly() -> AsyncIterator[bytes]:
        yield LARGE[:ARTEFACT_CHUNK_BYTES]
        await asyncio.Event().wait()

    uploading = asyncio.create_task(files.upload(sha256, slowly(), offset=0, size=len(LARGE)))
    await until(lambda: next(tmp_path.glob("*.part"), tmp_path).stat().st_size >= ARTEFACT_CHUNK_BYTES)
    uploading.cancel()
    await asyncio.gather(uploading, return_exceptions=True)
    at = (await files.status(sha256)).size
    assert (await files.upload(sha256, pieces(LARGE[at:]), offset=at, size=len(LARGE))).complete


async def test_many_who_ask_at_one_time_are_all_answered(tmp_path: Path) -> None:
    sha256 = await make(tmp_path).add(LARGE)
    files = make(tmp_path)
    assert await asyncio.gather(*(everything(files, sha256) for _ in range(20))) == [LARGE] * 20
    with pytest.raises(QuarterdeckError):
        await files.chunk("no hash", 0)
