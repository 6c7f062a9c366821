"""Artefacts: fetched once, from where it stopped, verified, kept, bounded."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from quarterdeck.agent.artefacts import Artefacts
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.fetches import Fetches
from quarterdeck.link.messages import ArtefactChunk, FromAgent, WantArtefact
from quarterdeck.model.errors import BadInput, NotFound, StorageFull
from quarterdeck.model.modules import Artefact
from tests.support import until


class Server:
    """Answers wants in chunks of `step` bytes, at most `patience` of them in one link."""

    def __init__(self, fetches: Fetches, *contents: bytes, step: int = 10, patience: int = 1000) -> None:
        self.fetches = fetches
        self.contents = {hashlib.sha256(content).hexdigest(): content for content in contents}
        self.step = step
        self.patience = patience
        self.offsets: list[int] = []

    async def send(self, message: FromAgent) -> None:
        assert isinstance(message, WantArtefact)
        if len(self.offsets) >= self.patience:
            return
        self.offsets.append(message.offset)
        content = self.contents.get(message.sha256)
        chunk = ArtefactChunk(sha256=message.sha256, offset=message.offset, size=-1, data=b"")
        if content is not None:
            data = content[message.offset : message.offset + self.step]
            chunk = ArtefactChunk(sha256=message.sha256, offset=message.offset, size=len(content), data=data)
        self.fetches.received(chunk)

    def link(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.fetches.run(cast("LiveLink", self)))


def artefact(content: bytes, name: str = "a.bpf.o") -> Artefact:
    return Artefact(name=name, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_fetched_once_for_all_who_ask_and_kept(tmp_path: Path) -> None:
    content = b"0123456789" * 5 + b"end"
    fetches = Fetches()
    artefacts = Artefacts(tmp_path, fetches=fetches)
    server = Server(fetches, content)
    link = server.link()
    assert await asyncio.gather(*(artefacts.get(artefact(content)) for _ in range(5))) == [content] * 5
    assert server.offsets == [0, 10, 20, 30, 40, 50]
    await end(link)
    assert await Artefacts(tmp_path, fetches=fetches).get(artefact(content)) == content


async def test_an_interrupted_fetch_goes_on_where_it_stopped(tmp_path: Path) -> None:
    content = bytes(range(100))
    fetches = Fetches()
    artefacts = Artefacts(tmp_path, fetches=fetches)
    first = Server(fetches, content, patience=3)
    asked = asyncio.create_task(artefacts.get(artefact(content)))
    link = first.link()
    await until(lambda: len(first.offsets) == 3)
    await end(link)
    second = Server(fetches, content)
    link = second.link()
    assert await asked == content
    assert second.offsets[0] == 30
    await end(link)


async def test_an_empty_artefact(tmp_path: Path) -> None:
    fetches = Fetches()
    artefacts = Artefacts(tmp_path, fetches=fetches)
    link = Server(fetches, b"").link()
    assert await artefacts.get(artefact(b"")) == b""
    await end(link)


async def test_unknown_and_damaged_artefacts_are_errors_and_can_be_asked_again(tmp_path: Path) -> None:
    content = b"good"
    fetches = Fetches()
    artefacts = Artefacts(tmp_path, fetches=fetches)
    server = Server(fetches)
    link = server.link()
    with pytest.raises(NotFound, match=r"a\.bpf\.o"):
        await artefacts.get(artefact(content))
    server.contents[artefact(content).sha256] = b"evil"
    with pytest.raises(BadInput, match="damaged"):
        await artefacts.get(artefact(content))
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240
    server.contents[artefact(content).sha256] = content
    assert await artefacts.get(artefact(content)) == content
    await end(link)


async def test_a_rotten_file_is_fetched_again(tmp_path: Path) -> None:
    content = b"content"
    (tmp_path / artefact(content).sha256).write_bytes(b"rotten!")
    fetches = Fetches()
    artefacts = Artefacts(tmp_path, fetches=fetches)
    link = Server(fetches, content).link()
    assert await artefacts.get(artefact(content)) == content
    await end(link)


async def test_the_cache_is_bounded_and_keeps_what_was_used_last(tmp_path: Path) -> None:
    contents = [bytes([number]) * 100 for number in range(5)]
    fetches = Fetches()
    artefacts = Artefacts(tmp_path, fetches=fetches, limit_bytes=250)
    link = Server(fetches, *contents, step=1000).link()
    for place, content in enumerate(contents):
        await artefacts.get(artefact(content))
        os.utime(tmp_path / artefact(content).sha256, (place, place))
    kept = {path.name for path in tmp_path.iterdir()}  # noqa: ASYNC240
    assert kept == {artefact(content).sha256 for content in contents[-2:]}
    await end(link)


async def test_a_fetch_goes_on_in_the_agents_next_life(tmp_path: Path) -> None:
    content = bytes(range(100))
    fetches = Fetches()
    first = Server(fetches, content, patience=3)
    asked = asyncio.create_task(Artefacts(tmp_path, fetches=fetches).path(artefact(content).sha256, "script.py"))
    link = first.link()
    await until(lambda: len(first.offsets) == 3)
    await end(link)
    asked.cancel()
    fetches = Fetches()
    second = Server(fetches, content)
    link = second.link()
    path = await Artefacts(tmp_path, fetches=fetches).path(artefact(content).sha256, "script.py")
    assert path.read_bytes() == content
    assert second.offsets[0] >= 20
    await end(link)


async def test_what_a_full_disk_does_not_take_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    fetches = Fetches()
    artefacts = Artefacts(tmp_path, fetches=fetches)
    link = Server(fetches, b"content").link()
    assert await artefacts.get(artefact(b"content")) == b"content"
    with pytest.raises(StorageFull):
        await artefacts.path(artefact(b"content").sha256, "script.py")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240
    await end(link)


async def test_a_content_that_would_fill_the_disk_is_refused_before_its_bytes_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"0123456789" * 5
    fetches = Fetches()
    server = Server(fetches, content)
    link = server.link()
    sha256 = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=149))
    with pytest.raises(StorageFull, match=r"50 bytes are to come, and 49 are free beyond the 100 that stay free"):
        await fetches.file(sha256, tmp_path / "input", name="its standard input", keep_free_bytes=100)
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=150))
    await fetches.file(sha256, tmp_path / "input", name="its standard input", keep_free_bytes=100)
    assert (tmp_path / "input").read_bytes() == content
    await end(link)
