"""`get_file`: files that grow, change or state no size, continued transfers, and damage."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import pytest

from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.link.messages import (
    FileChunk,
    FileOffer,
    FileStored,
    WantFile,
)
from quarterdeck.model.errors import (
    Conflict,
    NotFound,
    QuarterdeckError,
    TooLarge,
)
from quarterdeck.server.files.files import Files
from tests.support import until
from tests.unit.agent.commands.file_node import CONTENT, DIGEST, Node


async def test_a_file_is_got_once_and_not_sent_when_it_is_there(node: Node) -> None:
    source = node.folder / "log"
    source.write_bytes(CONTENT)
    got = await node.get(source)
    assert (got.sha256, got.size, got.mtime) == (DIGEST, len(CONTENT), source.stat().st_mtime)
    assert (await node.files.list())[0].name == str(source)
    assert sum(isinstance(each, FileChunk) for each in node.messages) == 4
    (shown,) = node.transfers.list()
    assert (shown.sha256, shown.to_node, shown.at, shown.size) == (DIGEST, False, len(CONTENT), len(CONTENT))
    assert await node.get(source) == got
    assert isinstance(node.messages[-1], FileOffer)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no such system")
async def test_a_file_that_says_no_size_is_got_whole(node: Node) -> None:
    for source in (
        Path("/proc/cpuinfo"),
        Path("/proc/self/limits"),
        Path("/sys/kernel/mm/transparent_hugepage/enabled"),
    ):
        got = await node.get(source)
        content = source.read_bytes()
        assert (got.size, got.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert got.size > 0


@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="no such system")
async def test_of_a_file_that_says_no_size_and_has_no_end_it_is_said_what_to_do(node: Node) -> None:
    with pytest.raises(TooLarge, match="reports 0 bytes but has more than 33554432"):
        await node.get(Path("/proc/self/pagemap"))  # of the whole address space


async def test_an_empty_file(node: Node) -> None:
    (node.folder / "empty").touch()
    got = await node.get(node.folder / "empty")
    assert node.files.has(got.sha256)
    put = await node.put(node.folder / "copy", sha256=got.sha256)
    assert put.size == 0


async def test_a_get_goes_on_after_a_lost_link_and_after_restarts_of_both(node: Node) -> None:
    source = node.folder / "log"
    source.write_bytes(CONTENT)
    node.patience = 2
    getting = asyncio.create_task(node.get(source))
    await until(lambda: len(node.messages) == 2)
    await node.cut()
    node.patience = 4
    node.link()
    await until(lambda: len(node.messages) == 4)
    assert cast("FileChunk", node.messages[3]).offset == ARTEFACT_CHUNK_BYTES
    await node.cut()
    getting.cancel()
    await asyncio.gather(getting, return_exceptions=True)
    node.files = Files(node.folder / "server", limit_bytes=2**30, keep_s=1e6)
    node.begin()
    node.patience = 1000
    node.link()
    await node.get(source, again=True)
    offsets = [each.offset for each in node.messages if isinstance(each, FileChunk)]
    assert offsets == [0, *(place * ARTEFACT_CHUNK_BYTES for place in (1, 2, 3))]
    assert node.files.has(DIGEST)


def shorten(path: Path) -> None:
    os.truncate(path, 5)


def replace(path: Path) -> None:
    path.write_bytes(bytes(len(CONTENT)))


@pytest.mark.parametrize("change", [shorten, replace])
async def test_a_file_that_changes_while_it_is_read_is_an_error(node: Node, change: Callable[[Path], object]) -> None:
    source = node.folder / "log"
    source.write_bytes(CONTENT)
    os.utime(source, (1, 1))
    node.patience = 2
    getting = asyncio.create_task(node.get(source))
    await until(lambda: len(node.messages) == 2)
    await node.cut()
    change(source)
    node.patience = 1000
    node.link()
    with pytest.raises(Conflict, match="changed while it was read"):
        await getting
    assert not node.files.has(DIGEST)


async def test_a_file_that_grows_is_got_up_to_where_it_ended(node: Node) -> None:
    source = node.folder / "log"
    source.write_bytes(CONTENT)
    node.patience = 2
    getting = asyncio.create_task(node.get(source))
    await until(lambda: len(node.messages) == 2)
    await node.cut()
    with source.open("ab") as log:
        log.write(b"more")
    node.patience = 1000
    node.link()
    assert (await getting).sha256 == DIGEST


async def test_a_damaged_chunk_on_its_way_up_is_found_and_the_next_try_begins_anew(node: Node) -> None:
    source = node.folder / "log"
    source.write_bytes(CONTENT)
    node.damage = lambda data: data[:-1] + bytes([data[-1] ^ 1]) if data else data
    with pytest.raises(QuarterdeckError, match="arrived damaged"):
        await node.get(source)
    assert not node.files.has(DIGEST)
    node.damage = bytes
    assert (await node.get(source)).sha256 == DIGEST


async def test_a_get_that_is_ended_is_withdrawn(node: Node) -> None:
    source = node.folder / "log"
    source.write_bytes(CONTENT)
    node.patience = 2
    getting = asyncio.create_task(node.get(source))
    await until(lambda: len(node.messages) == 2)
    getting.cancel()
    await asyncio.gather(getting, return_exceptions=True)
    node.patience = 1000
    await node.cut()
    node.link()
    await node.get(source)
    arrival = await node.files.begin(DIGEST, size=len(CONTENT), source=f"{node.agent.gid}-{node.agent.nid}")
    await node.files.release(arrival)  # the slot would be in use if the server had not released it


async def test_a_missing_file_is_an_error_in_words(node: Node) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        await node.get(node.folder / "none")


async def test_a_job_sends_one_file(node: Node) -> None:
    for number in range(300):  # each would hold a file of the server open
        offer = FileOffer(job="job", sha256=f"{number:064x}", size=5)
        assert await node.pulls.offered(node.agent, offer) == WantFile(sha256=offer.sha256)
    chunk = FileChunk(sha256=f"{0:064x}", offset=0, data=b"x")
    assert await node.pulls.received(node.agent, chunk) is None
    last = msgspec.structs.replace(chunk, sha256=f"{299:064x}")
    assert await node.pulls.received(node.agent, last) == WantFile(sha256=last.sha256, offset=1)


async def test_a_node_sends_only_what_it_was_asked_for(node: Node) -> None:
    offer = FileOffer(job="job", sha256=DIGEST, size=5)
    other = await node.services.join("web-2")
    wanted = WantFile(sha256=DIGEST)
    assert await node.pulls.offered(node.agent, offer) == wanted
    for agent, job in ((other, "job"), (node.agent, "none"), (node.agent, "")):
        refused = await node.pulls.offered(agent, msgspec.structs.replace(offer, job=job))
        assert isinstance(refused, FileStored)
        assert "did not ask" in refused.problem
    assert await node.pulls.received(other, FileChunk(sha256=DIGEST, offset=0, data=b"x")) is None
    evil = msgspec.structs.replace(offer, sha256="../../state.db")
    assert (await node.pulls.offered(node.agent, evil)) == FileStored(
        sha256=evil.sha256, problem="The server did not ask this node for it."
    )
    await node.cut()
