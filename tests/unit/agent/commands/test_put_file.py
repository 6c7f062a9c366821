"""`put_file`: files arrive whole or not at all, continue after a lost link, and leave nothing behind."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.link.messages import (
    WantArtefact,
)
from quarterdeck.model.errors import (
    AlreadyExists,
    BadInput,
    NotFound,
    QuarterdeckError,
    StorageFull,
)
from quarterdeck.model.jobs import JobOffer
from tests.support import until
from tests.unit.agent.commands.file_node import CONTENT, DIGEST, Node


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
