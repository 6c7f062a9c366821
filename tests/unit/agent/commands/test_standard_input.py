"""Standard input of a program: its file, and the file's state after a restart of the agent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from quarterdeck.agent.commands.standard_input import Input, StandardInputs
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.jobs import JobOffer

CONTENT = b"of any size"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Node:
    """A node with one run of its agent: `begun` are the jobs whose programs an earlier run started."""

    def __init__(self, folder: Path, *begun: str) -> None:
        self.folder = folder
        self.begun = begun
        self.fetched = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.full = False
        self.inputs = StandardInputs(cast("Processes", self), folder, fetch=self.fetch)

    async def has(self, process_id: str) -> bool:
        return process_id in self.begun

    async def fetch(self, sha256: str, path: Path, *, name: str, keep_free_bytes: int) -> None:
        assert (sha256, name) == (SHA256, "its standard input")
        assert keep_free_bytes > 0
        self.fetched += 1
        path.with_name(f"{path.name}.part").write_bytes(CONTENT[:3])
        await self.goes_on.wait()
        path.with_name(f"{path.name}.part").unlink()
        if self.full:
            raise StorageFull("There is no room.")
        path.write_bytes(CONTENT)  # noqa: ASYNC240 (as the agent does it in a thread)

    async def find(self, job_id: str) -> Input:
        return await self.inputs.find(JobOffer(id=job_id, cmd="execute"), SHA256)

    def names(self) -> Sequence[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "inputs"


async def test_many_jobs_read_one_file_which_others_may_open_and_nobody_may_enter(folder: Path) -> None:
    node = Node(folder)
    found = await asyncio.gather(*(node.find(f"job-{number}") for number in range(9)))
    assert set(found) == {Input(file=str(folder / SHA256))}
    assert node.fetched == 1
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / SHA256)] == [0o700, 0o444]
    for number in range(8):
        await node.inputs.release(f"job-{number}")
    assert node.names() == [SHA256]
    await node.inputs.release("job-8")
    assert node.names() == []


async def test_a_job_that_is_ended_while_it_waits_leaves_nothing(folder: Path) -> None:
    node = Node(folder)
    node.goes_on.clear()
    finding = asyncio.create_task(node.find("job"))
    while not node.names():  # noqa: ASYNC110 (a file tells nobody)
        await asyncio.sleep(0)
    finding.cancel()
    await asyncio.gather(finding, return_exceptions=True)
    await node.inputs.release("job")
    assert node.names() == []


async def test_a_full_disk_is_the_jobs_error_and_another_job_fetches_it_later(folder: Path) -> None:
    node = Node(folder)
    node.full = True
    with pytest.raises(StorageFull):
        await node.find("one")
    node.full = False
    assert await node.find("two") == Input(file=str(folder / SHA256))
    await node.inputs.release("one")
    assert node.names() == [SHA256]


#: what a killed agent left in the folder, and how often the next run fetches the content for a job that it resumes
LEFT: dict[str, tuple[dict[str, bytes], int]] = {
    "nothing": ({}, 1),
    "a part": ({f"{SHA256}.part": CONTENT[:3]}, 1),
    "the file": ({SHA256: CONTENT}, 0),
    "a damaged file": ({SHA256: b"of any sizX"}, 1),
}


def _leave(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("left", list(LEFT))
async def test_the_next_life_goes_on_with_what_is_there(folder: Path, left: str) -> None:
    files, fetches = LEFT[left]
    _leave(folder, files)
    node = Node(folder)
    node.inputs.recovered(["job"])
    assert node.names() == sorted(files)
    assert await node.find("job") == Input(file=str(folder / SHA256))
    assert (folder / SHA256).read_bytes() == CONTENT
    assert node.fetched == fetches
    await node.inputs.release("job")
    assert node.names() == []


async def test_a_program_that_runs_is_not_fetched_anything(folder: Path) -> None:
    node = Node(folder, "job")
    assert await node.find("job") == Input(file=str(folder / SHA256))
    assert node.fetched == 0


async def test_what_no_job_needs_any_more_goes_when_the_agent_starts(folder: Path) -> None:
    node = Node(folder)
    node.inputs.recovered([])
    await node.find("job")
    Node(folder).inputs.recovered([])
    assert node.names() == []
