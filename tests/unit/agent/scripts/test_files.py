"""The files that scripts are run from: verified when needed, kept while a job holds them, removed afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.agent.held import UNUSED_S
from quarterdeck.agent.scripts import files as module
from quarterdeck.agent.scripts.files import ScriptFiles
from quarterdeck.model.errors import NotFound, StorageFull
from tests.support import until

SOURCE = b"echo ahoy\n"
SHA256 = hashlib.sha256(SOURCE).hexdigest()


class Cache:
    """The agent's artefacts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []

    async def path(self, sha256: str, name: str) -> Path:
        self.asked.append(name)
        if sha256 != SHA256:
            raise NotFound(f"The server has no {name}.")
        self.folder.mkdir(exist_ok=True)
        path = self.folder / sha256
        path.write_bytes(SOURCE)
        return path


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "artefacts")


@pytest.fixture
def files(tmp_path: Path, cache: Cache) -> ScriptFiles:
    return ScriptFiles(tmp_path / "scripts", fetch=cache.path, shared=tmp_path / "shared")


async def test_it_stays_until_the_last_job_is_over(files: ScriptFiles, cache: Cache) -> None:
    path = await files.hold("one", SHA256, user="")
    assert await files.hold("two", SHA256, user="") == path
    assert (path.name, path.read_bytes(), cache.asked) == (SHA256, SOURCE, ["script of the job one"])
    assert path.parent.stat().st_mode & 0o777 == 0o700
    (cache.folder / SHA256).unlink()
    await files.release("one")
    assert path.read_bytes() == SOURCE
    await files.release("two")
    await files.release("two")
    assert list(path.parent.iterdir()) == []


async def test_many_jobs_may_begin_at_once(files: ScriptFiles, cache: Cache) -> None:
    ids = [str(number) for number in range(50)]
    paths = await asyncio.gather(*(files.hold(id_, SHA256, user="") for id_ in ids))
    assert len(set(paths)) == len(cache.asked) == 1
    for id_ in ids:
        assert paths[0].read_bytes() == SOURCE
        await files.release(id_)
    assert list(paths[0].parent.iterdir()) == []


async def test_a_file_that_disappears_while_the_folder_is_listed_is_no_error(
    files: ScriptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await files.hold("one", SHA256, user="")
    fresh = path.with_name("another.new")  # listed in the folder, and removed before it is opened

    def listed(folder: Path) -> Iterator[Path]:
        return iter([folder / name for name in (*os.listdir(folder), fresh.name)])  # noqa: PTH208

    monkeypatch.setattr(Path, "iterdir", listed)
    await files.release("one")
    assert not path.exists()


async def test_a_script_that_is_requested_while_it_is_removed_is_made_again(
    files: ScriptFiles, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await files.hold("one", SHA256, user="")
    began, go = threading.Event(), threading.Event()
    unlink = Path.unlink

    def slow(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == SHA256:
            began.set()
            go.wait()
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", slow)
    releasing = asyncio.create_task(files.release("one"))
    await until(began.is_set)
    holding = asyncio.create_task(files.hold("two", SHA256, user=""))
    await asyncio.sleep(0)
    go.set()
    await releasing
    assert (await holding).read_bytes() == SOURCE
    assert path.exists()
    assert len(cache.asked) == 2


async def test_a_directory_of_users_that_is_slow_stops_nobody_else(
    files: ScriptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(name: str) -> None:
        if name:
            asked.set()
            answer.wait()

    monkeypatch.setattr(module, "_other", slow)
    holding = asyncio.create_task(files.hold("one", SHA256, user="somebody"))
    await until(asked.is_set)
    assert (await files.hold("two", SHA256, user="")).read_bytes() == SOURCE
    assert not holding.done()
    answer.set()
    await holding


async def test_a_damaged_script_is_fetched_again(files: ScriptFiles, cache: Cache) -> None:
    path = await files.hold("one", SHA256, user="")
    path.write_bytes(b"echo pirates\n")
    assert (await files.hold("two", SHA256, user="")).read_bytes() == SOURCE
    assert len(cache.asked) == 2


async def test_what_a_killed_agent_left_goes_when_it_is_old(files: ScriptFiles, tmp_path: Path) -> None:
    path = await files.hold("one", SHA256, user="")
    old, new = tmp_path / "scripts" / "old", tmp_path / "scripts" / "new"
    for left in (old, new):
        left.write_text("")
    os.utime(old, (0, new.stat().st_mtime - UNUSED_S - 60))
    await files.release("one")
    assert list(path.parent.iterdir()) == [new]


async def test_a_file_system_without_links_gets_a_copy(
    files: ScriptFiles, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = await files.hold("one", SHA256, user="")
    assert path.read_bytes() == SOURCE
    assert not path.samefile(cache.folder / SHA256)


async def test_a_full_disk_and_a_script_that_is_not_there_are_errors_in_words(
    files: ScriptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound, match="script of the job one"):
        await files.hold("one", "0" * 64, user="")

    def full(_path: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageFull):
        await files.hold("two", SHA256, user="")
    await files.release("one")
    await files.release("two")
