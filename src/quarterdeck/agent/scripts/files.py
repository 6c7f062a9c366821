"""The files that scripts are run from: named by their sha256, verified when a process starts, and kept while it runs.

A script comes from the agent's cache of artefacts, which may drop it; while a job uses it, it is also linked into this
folder, which only the agent's user can enter. A process of another user cannot read it there: it gets a copy that only
its user can read, below `/run`, in folders that only the agent can change.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from quarterdeck.agent.held import HeldFiles, is_whole
from quarterdeck.agent.keeper.start import User
from quarterdeck.model.disk import disk_error
from quarterdeck.model.errors import NotInstalled

#: holds the scripts of processes that run as another user than the agent
SHARED = Path("/run/quarterdeck")
#: returns the cached file of a sha256, fetched if needed; the second argument names it in errors
Fetch = Callable[[str, str], Awaitable[Path]]


class ScriptFiles:
    """Owns `folder`, and the agent's own folder below `shared`."""

    def __init__(self, folder: Path, *, fetch: Fetch, shared: Path = SHARED) -> None:
        self._folder = folder
        self._fetch = fetch
        self._shared = shared / f"scripts-{hashlib.sha256(bytes(folder)).hexdigest()[:16]}"
        self._held = HeldFiles()

    async def hold(self, job_id: str, sha256: str, *, user: str) -> Path:
        """Return the file to run for this job, kept until `release`. Waits for a link when it must be fetched.

        Raise `NotFound` when the server does not have it; `BadInput` when it is damaged or the user does not exist;
        `StorageFull`, `Unavailable`.
        """
        other = await asyncio.to_thread(_other, user)
        path = self._folder / sha256
        async with self._held.holding(job_id, path):
            if not await asyncio.to_thread(is_whole, path):
                kept = await self._fetch(sha256, f"script of the job {job_id}")
                await asyncio.to_thread(self._link, kept, path)
            if other is None:
                return path
            copy = self._shared / str(other.uid) / sha256
            self._held.add(job_id, copy)
            await asyncio.to_thread(self._copy, path, copy, other)
            return copy

    async def release(self, job_id: str) -> None:
        """Release the files of a job that has ended, unless another job uses them."""
        await self._held.release(job_id)

    def _link(self, kept: Path, path: Path) -> None:
        fresh = path.with_name(f"{path.name}.new")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            try:
                fresh.hardlink_to(kept)
            except OSError:  # a file system without them
                shutil.copyfile(kept, fresh)
            fresh.replace(path)
        except OSError as error:
            raise disk_error(error, path) from error

    def _copy(self, path: Path, copy: Path, user: User) -> None:
        if sys.platform == "win32":
            raise NotInstalled("Programs run as the agent's own user on this system.")
        fresh = copy.with_name(f"{copy.name}.new")
        try:
            for folder in (self._shared.parent, self._shared, copy.parent):
                folder.mkdir(mode=0o711, exist_ok=True)
                folder.chmod(0o711)  # whatever the umask is
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
            with os.fdopen(descriptor, "wb") as file:
                file.write(path.read_bytes())
                os.fchown(file.fileno(), user.uid, user.gid)
            fresh.replace(copy)
        except OSError as error:
            raise disk_error(error, copy) from error


def _other(name: str) -> User | None:
    """Return the user of this name, unless the agent runs as it, or cannot start processes as another."""
    if sys.platform == "win32" or not name or os.geteuid() != 0:
        return None
    user = User.named(name)
    return None if user.uid == os.geteuid() else user
