"""Every state of a content, through a kill of the server, with every request that may follow."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.model.errors import NotFound, StorageCorrupt
from quarterdeck.server.files.files import Files
from tests.services import FakeClock

CONTENT = b"0123456789" * 10
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KEEP_S = 1000.0
#: the state → the bytes of the part and of the whole that a kill left, and whether the description is there
STATES: dict[str, tuple[bytes | None, bytes | None, bool]] = {
    "nothing": (None, None, False),
    "begun": (b"", None, False),
    "in the middle": (CONTENT[:30], None, False),
    "all there and not checked": (CONTENT, None, False),
    "described and not in its place": (CONTENT, None, True),
    "whole": (None, CONTENT, True),
    "whole without a description": (None, CONTENT, False),
    "damaged": (None, CONTENT[:-1] + b"X", True),
    "removed but for its description": (None, None, True),
    "all there and not what it should be": (CONTENT[:-1] + b"X", None, False),
    "longer than it should be": (CONTENT + b"X", None, False),
}


def make(folder: Path, *, later_s: float = 0.0) -> Files:
    return Files(folder, limit_bytes=2**20, keep_s=KEEP_S, clock=FakeClock(time.time() + later_s))


async def rest(offset: int) -> AsyncIterator[bytes]:
    if offset < len(CONTENT):
        yield CONTENT[offset:]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def left(folder: Path, state: str) -> None:
    part, whole, described = STATES[state]
    if part is not None:
        path = folder / f"{SHA256}.upload.part"
        path.touch(mode=0o600)
        path.write_bytes(part)
    if whole is not None:
        (folder / SHA256).write_bytes(whole)
    if described:
        (folder / f"{SHA256}.json").write_text('{"name": "app", "source": "upload"}')


@pytest.mark.parametrize("state", list(STATES))
async def test_an_upload_comes_to_its_end_from_every_state(tmp_path: Path, state: str) -> None:
    left(tmp_path, state)
    files = make(tmp_path)
    if state == "damaged":
        with pytest.raises(StorageCorrupt):
            await files.size(SHA256)
    status = await files.status(SHA256)
    if not status.complete:  # as the client does: from where the server says that it is
        offset = 0 if status.size > len(CONTENT) or "not what it should be" in state else status.size
        status = await files.upload(SHA256, rest(offset), offset=offset, size=len(CONTENT), name="app")
    assert (status.complete, status.size) == (True, len(CONTENT))
    assert (await files.chunk(SHA256, 0)).data == CONTENT
    assert [each.size for each in await make(tmp_path).list()] == [len(CONTENT)]
    assert not any(name.endswith(".part") for name in names(tmp_path))


@pytest.mark.parametrize("state", list(STATES))
async def test_what_nobody_asks_for_again_goes_and_leaves_nothing(tmp_path: Path, state: str) -> None:
    left(tmp_path, state)
    files = make(tmp_path, later_s=KEEP_S + 60)
    files.sweep()
    assert names(tmp_path) == []
    with pytest.raises(NotFound):
        await files.chunk(SHA256, 0)


@pytest.mark.parametrize("state", list(STATES))
async def test_only_a_whole_content_is_given_and_listed(tmp_path: Path, state: str) -> None:
    left(tmp_path, state)
    files = make(tmp_path)
    files.sweep()
    if state.startswith("whole"):
        assert (await files.chunk(SHA256, 0)).data == CONTENT
        await files.delete(SHA256)
        assert names(tmp_path) == []
    else:
        with pytest.raises(StorageCorrupt if state == "damaged" else NotFound):
            await files.chunk(SHA256, 0)
    assert await files.list() == []
