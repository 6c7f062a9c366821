"""`put_file` and `get_file` against the server's own halves: received files, continued transfers, and leftovers."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import stat
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from quarterdeck.agent.commands.files import FileCommands
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.fetches import Fetches
from quarterdeck.agent.offers import Offers
from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.link.messages import (
    ArtefactChunk,
    FileChunk,
    FileOffer,
    FileStored,
    FromAgent,
    WantArtefact,
    WantFile,
)
from quarterdeck.model.errors import (
    AlreadyExists,
    BadInput,
    Conflict,
    NotFound,
    QuarterdeckError,
    StorageFull,
    TooLarge,
)
from quarterdeck.model.files import NodeFile
from quarterdeck.model.jobs import CreateCommand, JobOffer
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.files.files import Files
from quarterdeck.server.files.pulls import Pulls
from quarterdeck.server.files.transfers import Transfers
from quarterdeck.store.state.database import Database
from tests.services import Services
from tests.state import sqlite_url
from tests.support import until

CONTENT = os.urandom(ARTEFACT_CHUNK_BYTES * 3 + 11)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OPERATOR = ApiToken(id="t", name="olga", role=Role.OPERATOR)


class Node:
    """A node's file commands, and a link to the server that can be cut after some messages."""

    def __init__(self, folder: Path, services: Services, agent: AgentIdentity) -> None:
        self.folder = folder
        self.services = services
        self.agent = agent
        self.files = Files(folder / "server", limit_bytes=2**30, keep_s=1e6)
        self.transfers = Transfers()
        self.begin()
        self.messages: list[FromAgent] = []
        self.patience = 1000
        self.damage: Callable[[bytes], bytes] = bytes
        self.links: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Start a new run of the agent, and of the server's half."""
        self.pulls = Pulls(self.services.database, files=self.files, transfers=self.transfers)
        self.fetches, self.offers = Fetches(), Offers()
        self.commands = FileCommands(fetches=self.fetches, offers=self.offers, fill=self.fill, who=lambda: self.agent)

    def fill(self, text: str) -> str:
        return text.replace("$tmp", str(self.folder / "tmp"))

    async def send(self, message: FromAgent) -> None:
        """Carry the agent's messages up, and the server's answers down."""
        if len(self.messages) >= self.patience:
            await asyncio.Event().wait()
        self.messages.append(message)
        match message:
            case WantArtefact():
                self.fetches.received(await self._chunk(message))
            case FileOffer():
                self.offers.received(await self.pulls.offered(self.agent, message))
            case FileChunk():
                damaged = msgspec.structs.replace(message, data=self.damage(message.data))
                answer = await self.pulls.received(self.agent, damaged)
                if answer is not None:
                    self.offers.received(answer)
            case _:
                raise AssertionError(message)

    async def _chunk(self, want: WantArtefact) -> ArtefactChunk:
        try:
            chunk = await self.files.chunk(want.sha256, want.offset)
        except NotFound as error:
            return ArtefactChunk(sha256=want.sha256, offset=want.offset, size=-1, data=b"", problem=str(error))
        return msgspec.structs.replace(chunk, data=self.damage(chunk.data))

    def link(self) -> None:
        live = cast("LiveLink", self)
        self.links = [asyncio.create_task(self.fetches.run(live)), asyncio.create_task(self.offers.run(live))]

    async def cut(self) -> None:
        for task in self.links:
            task.cancel()
        await asyncio.gather(*self.links, return_exceptions=True)
        await self.pulls.left(self.agent)

    async def run(self, cmd: str, *, again: bool = False, **arguments: Any) -> NodeFile:
        command = self.commands.commands()[cmd]
        work = command.resume if again else command.run
        assert work is not None
        outcome = await work(JobOffer(id="job", cmd=cmd, args=arguments))
        return msgspec.json.decode(outcome.data, type=NodeFile)

    async def put(self, path: Path, *, sha256: str = DIGEST, **arguments: Any) -> NodeFile:
        return await self.run("put_file", path=str(path), sha256=sha256, **arguments)

    async def get(self, path: Path, *, again: bool = False) -> NodeFile:
        return await self.run("get_file", again=again, path=str(path))

    def left(self) -> list[str]:
        """Partial files on the node."""
        return [path.name for path in self.folder.rglob(".qd-*")]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node that has been asked for a file."""
    database = await Database.open(sqlite_url(tmp_path))
    services = Services(database, tmp_path)
    agent = await services.join("web-1")
    await services.commands.create(CreateCommand(id="job", cmd="get_file", args={"path": "/x"}), OPERATOR)
    made = Node(tmp_path, services, agent)
    made.link()
    yield made
    await made.cut()
    await database.close()


# ── put_file ────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_file_is_put_in_place_with_mode_and_nothing_beside_it(node: Node) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "there" / "app.bin"
    with pytest.raises(NotFound, match=r"no folder .*/there\. .*make_dirs"):
        await node.put(target)
    put = await node.put(target, make_dirs=True, mode="0750", size=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert (put.path, put.sha256, put.size, put.mode) == (str(target), DIGEST, len(CONTENT), "0750")
    assert os.listdir(target.parent) == ["app.bin"]  # noqa: PTH208


async def test_what_is_there_already_is_not_sent_but_gets_its_mode(node: Node) -> None:
    target = node.folder / "app.bin"
    target.write_bytes(CONTENT)
    target.chmod(0o600)
    assert (await node.put(target)).mode == "0600"
    assert (await node.put(target, mode="4711")).mode == "4711"
    assert node.messages == []


async def test_a_file_that_is_replaced_keeps_its_mode_and_a_new_one_has_0644(node: Node) -> None:
    await node.files.add(CONTENT)
    old, new, link = (node.folder / name for name in ("old", "new", "link"))
    old.write_text("before")
    old.chmod(0o640)
    link.symlink_to(old)
    assert (await node.put(old)).mode == "0640"
    assert (await node.put(new)).mode == "0644"
    old.write_text("before")
    assert (await node.put(link)).mode == "0644"
    assert (link.is_symlink(), link.read_bytes(), old.read_text()) == (False, CONTENT, "before")


async def test_a_file_that_must_not_be_replaced_stays(node: Node) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    target.write_text("mine")
    with pytest.raises(AlreadyExists, match="another content"):
        await node.put(target, overwrite=False)
    assert target.read_text() == "mine"
    target.write_bytes(CONTENT)
    await node.put(target, overwrite=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_a_file_gets_its_owner(node: Node) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    await node.put(target, user="nobody", mode="4755")
    state = target.stat()
    assert (state.st_uid > 0, stat.S_IMODE(state.st_mode)) == (True, 0o4755)
    with pytest.raises(NotFound, match="no user 'noone'"):
        await node.put(target, user="noone")
    target.write_text("another")
    await node.put(target)
    assert target.stat().st_uid == state.st_uid, "it keeps the owner of what it replaces"


async def test_a_link_that_takes_a_files_place_gets_no_mode(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, target = node.folder / "secret", node.folder / "target"
    secret.write_bytes(CONTENT)
    secret.chmod(0o600)
    target.write_bytes(CONTENT)
    look, looks = Path.lstat, list[Path]()

    def swapped(path: Path) -> os.stat_result:
        found = look(path)
        looks.append(path)
        if looks.count(target) == 2:  # the file was seen, and is opened next
            target.unlink()
            target.symlink_to(secret)
        return found

    monkeypatch.setattr(Path, "lstat", swapped)
    with pytest.raises(QuarterdeckError):
        await node.put(target, mode="0666")
    assert secret.stat().st_mode & 0o777 == 0o600


def part_of(node: Node) -> Path:
    """Where the next put writes."""
    name = hashlib.sha256(f"{node.agent.gid}/{node.agent.nid}/job".encode()).hexdigest()[:16]
    return node.folder / f".qd-{name}.part"


@pytest.mark.parametrize(
    "plant", ["a symbolic link", "a hard link", "an open file", "a pipe", "a file of another user"]
)
async def test_what_somebody_else_put_in_the_parts_place_is_not_written(node: Node, plant: str) -> None:
    await node.files.add(CONTENT)
    secret, part = node.folder / "secret", part_of(node)
    secret.write_text("mine")
    secret.chmod(0o600)
    match plant:
        case "a symbolic link":
            part.symlink_to(secret)
        case "a hard link":
            part.hardlink_to(secret)
        case "an open file":
            part.write_text("x")
            part.chmod(0o666)
        case "a pipe":
            os.mkfifo(part)
        case _:
            if os.geteuid() != 0:
                pytest.skip("only root gives files away")
            part.write_text("x")
            part.chmod(0o600)
            os.chown(part, 65534, 65534)
    with suppress(FileNotFoundError):
        planted = part.open("rb+") if plant == "an open file" else None
    await node.put(node.folder / "app.bin")
    assert (node.folder / "app.bin").read_bytes() == CONTENT
    assert secret.read_text() == "mine"
    if planted is not None:
        planted.write(b"evil")
        planted.close()
        assert (node.folder / "app.bin").read_bytes() == CONTENT


# ── what a replaced file had ────────────────────────────────────────────────────────────────────────────────────────
ACL = struct.pack(
    "<IHHIHHIHHIHHIHHI", 2, 1, 6, 2**32 - 1, 2, 4, 65534, 4, 4, 2**32 - 1, 16, 6, 2**32 - 1, 32, 0, 2**32 - 1
)


async def test_a_replaced_files_attributes_and_acl_are_kept(node: Node) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    target.write_text("before")
    try:
        os.setxattr(target, "user.origin", b"here")
        os.setxattr(target, "system.posix_acl_access", ACL)
    except OSError as error:
        pytest.skip(f"this file system has neither: {error}")
    await node.put(target)
    assert target.read_bytes() == CONTENT
    assert os.getxattr(target, "user.origin") == b"here"
    assert os.getxattr(target, "system.posix_acl_access") == ACL


async def test_what_the_system_does_not_let_be_kept_is_said(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    target.write_text("before")
    (node.folder / "other").hardlink_to(target)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "listxattr", lambda *_, **__: ["security.selinux"])
    monkeypatch.setattr(os, "getxattr", lambda *_, **__: b"x")
    monkeypatch.setattr(os, "setxattr", refused)
    outcome = await node.commands.commands()["put_file"].run(
        JobOffer(id="job", cmd="put_file", args={"path": str(target), "sha256": DIGEST})
    )
    assert outcome.reason == (
        "The file it replaced had security.selinux (Operation not permitted): not kept. "
        "The file it replaced has 1 more hard link, with the old content."
    )


@pytest.mark.parametrize(("asked", "is_"), [("755", "4755"), ("0755", "0755"), ("", "4711"), ("2750", "2750")])
async def test_three_digits_of_a_mode_keep_what_they_do_not_name(node: Node, asked: str, is_: str) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    target.write_text("before")
    target.chmod(0o4711)
    assert (await node.put(target, mode=asked)).mode == is_


async def test_a_replaced_file_with_holes_is_replaced_by_one(node: Node) -> None:
    content = bytes(2 * ARTEFACT_CHUNK_BYTES) + b"x" + bytes(ARTEFACT_CHUNK_BYTES + 5)
    digest = await node.files.add(content)
    sparse, full = node.folder / "sparse", node.folder / "full"
    with sparse.open("wb") as file:
        file.truncate(2**20)
    full.write_text("before")
    for target in (sparse, full):
        await node.put(target, sha256=digest)
        assert target.read_bytes() == content
    assert sparse.stat().st_blocks * 512 < len(content) // 2 < full.stat().st_blocks * 512


async def test_words_for_folders_are_replaced(node: Node) -> None:
    await node.files.add(CONTENT)
    (node.folder / "tmp").mkdir()
    assert (await node.run("put_file", path="$tmp/a", sha256=DIGEST)).path == str(node.folder / "tmp" / "a")
    assert (await node.run("get_file", path="$tmp/a")).sha256 == DIGEST


@pytest.mark.parametrize("path", ["relative", "/ends/", "", "/a\0b"])
async def test_a_path_that_is_none_is_refused_in_words(node: Node, path: str) -> None:
    with pytest.raises(BadInput, match="absolute path of a file"):
        await node.run("put_file", path=path, sha256=DIGEST)
    with pytest.raises(BadInput, match="absolute path of a file"):
        await node.run("get_file", path=path)


@pytest.mark.parametrize("wrong", [{"mode": "rwx"}, {"mode": "99"}, {"sha256": "abc"}, {"size": "x"}])
async def test_arguments_that_are_none_are_refused_in_words(node: Node, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        await node.commands.commands()["put_file"].run(
            JobOffer(id="job", cmd="put_file", args={"path": "/tmp/x", "sha256": DIGEST} | wrong)
        )


async def test_folders_and_devices_are_no_files(node: Node) -> None:
    os.mkfifo(node.folder / "pipe")
    for path, words in ((node.folder, "is a folder"), (node.folder / "pipe", "not a file but a device")):
        with pytest.raises(BadInput, match=words):
            await node.get(path)
        with pytest.raises(BadInput, match=words):
            await node.put(path)


async def test_onto_a_folder_it_is_said_how_to_put_it_into_one(node: Node) -> None:
    with pytest.raises(BadInput) as caught:
        await node.put(node.folder)
    assert caught.value.hint.endswith(f"{node.folder}/.")


async def test_a_mount_in_a_files_place_is_an_error_in_words(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    target.write_text("before")

    def busy(*_: object) -> Path:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    with pytest.raises(QuarterdeckError, match="something is mounted on it"):
        await node.put(target)
    assert node.left() == []


async def test_a_put_goes_on_after_a_lost_link_and_after_a_restart(node: Node) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    node.patience = 2
    putting = asyncio.create_task(node.put(target))
    await until(lambda: node.left() and (node.folder / node.left()[0]).stat().st_size == 2 * ARTEFACT_CHUNK_BYTES)
    await node.cut()
    node.patience = 3
    node.link()
    await until(lambda: len(node.messages) == 3)
    assert node.messages[2] == WantArtefact(sha256=DIGEST, offset=2 * ARTEFACT_CHUNK_BYTES)
    await node.cut()
    await node.commands.close()
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    assert len(node.left()) == 1, "the agent's end leaves what is there"
    node.begin()
    node.patience = 1000
    node.link()
    before = len(node.messages)
    await node.run("put_file", again=True, path=str(target), sha256=DIGEST)
    assert target.read_bytes() == CONTENT
    assert node.left() == []
    assert all(cast("WantArtefact", each).offset >= 2 * ARTEFACT_CHUNK_BYTES for each in node.messages[before:])


async def test_a_put_that_is_ended_leaves_nothing(node: Node) -> None:
    await node.files.add(CONTENT)
    node.patience = 1
    putting = asyncio.create_task(node.put(node.folder / "app.bin"))
    await until(lambda: len(node.messages) == 1 and node.left())
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert node.left() == []


async def test_a_damaged_chunk_is_found_and_leaves_nothing(node: Node) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    node.damage = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(BadInput, match="arrived damaged"):
        await node.put(target)
    assert (node.left(), target.exists()) == ([], False)


async def test_a_part_that_the_disk_lost_some_of_is_fetched_anew(node: Node) -> None:
    await node.files.add(CONTENT)
    name = f".qd-{hashlib.sha256(f'{node.agent.gid}/{node.agent.nid}/job'.encode()).hexdigest()[:16]}.part"
    (node.folder / name).write_bytes(bytes(ARTEFACT_CHUNK_BYTES))
    (node.folder / name).chmod(0o600)
    await node.put(node.folder / "app.bin")
    assert (node.folder / "app.bin").read_bytes() == CONTENT


async def test_what_the_server_does_not_have_is_an_error_in_words(node: Node) -> None:
    with pytest.raises(NotFound, match=r"has no file .*qd file ls"):
        await node.put(node.folder / "app.bin")
    assert node.left() == []


async def test_a_full_disk_is_an_error_in_words_and_leaves_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    await node.files.add(CONTENT)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(CONTENT) - 1))
        with pytest.raises(StorageFull, match=rf"{len(CONTENT)} bytes are to come, and {len(CONTENT) - 1} are free\."):
            await node.put(node.folder / "app.bin")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageFull, match="No space left"):
        await node.put(node.folder / "app.bin")
    assert node.left() == []


# ── get_file ────────────────────────────────────────────────────────────────────────────────────────────────────────
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
