"""Standard input of a job's program: the job's data, or a content that the node fetches from the server by its hash.

A content is fetched into a file once, whatever its size, and the program reads the file. The file exists until the job
has ended, so that a restarted program reads it from its beginning.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from quarterdeck.agent.held import HeldFiles, is_whole
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.model.disk import disk_error
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import JobOffer

#: space on the disk that inputs never use: the agent's own records need it
KEEP_FREE_BYTES = 256 * 1024 * 1024
#: only the agent's user can enter the folder; the user of a program may open its /dev/stdin again
_FOLDER_MODE, _FILE_MODE = 0o700, 0o444


class Fetch(Protocol):
    """Fetches a content into a file; errors call it `name`."""

    def __call__(self, sha256: str, path: Path, *, name: str, keep_free_bytes: int) -> Awaitable[None]: ...


class Input(NamedTuple):
    """The standard input of a program: these bytes, or this file."""

    data: bytes = b""
    file: str = ""


class StandardInputs:
    """Finds the standard input of each job's program. Owns `folder`."""

    def __init__(self, processes: Processes, folder: Path, *, fetch: Fetch) -> None:
        self._processes = processes
        self._folder = folder.absolute()
        self._fetch = fetch
        self._held = HeldFiles()

    async def find(self, job: JobOffer, sha256: str) -> Input:
        """Return the input, whose file exists until `release`. Waits for a link when it must be fetched.

        Raise `NotFound` when the server does not have it; `BadInput` when it is damaged or data is given too;
        `StorageFull`.
        """
        if not sha256:
            return Input(data=job.data.encode())
        if job.data:
            raise BadInput("Expected data or the argument stdin_sha256, found both.")
        path = self._folder / sha256
        began = await self._processes.has(job.id)  # in an earlier run, which has fetched it
        async with self._held.holding(job.id, path):
            if not began and not await asyncio.to_thread(is_whole, path):
                await asyncio.to_thread(self._prepare)
                self._held.add(job.id, path.with_name(f"{path.name}.part"))
                name = "its standard input"
                await self._fetch(sha256, path, name=name, keep_free_bytes=KEEP_FREE_BYTES)
                await asyncio.to_thread(path.chmod, _FILE_MODE)
        return Input(file=str(path))

    def recovered(self, unfinished: Sequence[str]) -> None:
        """Remove the files of an earlier run if none of its jobs continues."""
        if not unfinished:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def release(self, job_id: str) -> None:
        """Remove the file of a job that has ended, unless another job uses it."""
        await self._held.release(job_id)

    def _prepare(self) -> None:
        try:
            self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self._folder) from error
