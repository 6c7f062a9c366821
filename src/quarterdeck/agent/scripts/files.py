"""The files that scripts are run from: named by their sha256, right when a process is to start, there while it may.

A script comes from the agent's cache of artefacts, which may forget it; while a job uses it, it is linked into this
folder too, which only the agent's user can enter. Another user's process cannot reach that: it gets a copy that this
user alone can read, below `/run`, in folders that only the agent can change.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from weakref import WeakValueDictionary

from quarterdeck.agent.processes.client import User
from quarterdeck.link.parts import disk_error
from quarterdeck.model.errors import NotInstalled

#: below it lie the scripts of processes that run as another user than the agent
SHARED = Path("/run/quarterdeck")
#: a file that no job holds is left behind by an agent that was killed; it goes after so long
UNUSED_S = 86400.0

#: of a sha256 and the name to call it by: its file in the cache, fetched if need be
Fetch = Callable[[str, str], Awaitable[Path]]


class ScriptFiles:
    """Owns `folder`, and the agent's own folder below `shared`."""

    def __init__(self, folder: Path, *, fetch: Fetch, shared: Path = SHARED) -> None:
        self._folder = folder
        self._fetch = fetch
        self._shared = shared / f"scripts-{hashlib.sha256(bytes(folder)).hexdigest()[:16]}"
        self._held: dict[str, set[Path]] = {}  # job → its files
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def hold(self, job_id: str, sha256: str, *, user: str) -> Path:
        """The file to run for this job, until `release`. Waits for a link when the script is not here.

        `NotFound`: the server has none; `BadInput`: it came damaged, or no such user; `StorageFull`, `Unavailable`.
        """
        other = await asyncio.to_thread(_other, user)
        path = self._folder / sha256
        held = self._held.setdefault(job_id, set())
        held.add(path)
        async with self._lock(path):  # many jobs may begin at once
            if not await asyncio.to_thread(_is_whole, path):
                kept = await self._fetch(sha256, f"script of the job {job_id}")
                await asyncio.to_thread(self._link, kept, path)
            if other is None:
                return path
            copy = self._shared / str(other.uid) / sha256
            held.add(copy)
            await asyncio.to_thread(self._copy, path, copy, other)
            return copy

    async def release(self, job_id: str) -> None:
        """This job is over: what no other holds goes."""
        gone = self._held.pop(job_id, set[Path]())
        left = await asyncio.to_thread(_older, {path.parent for path in gone}, time.time() - UNUSED_S)
        for path in gone | left:
            async with self._lock(path):  # who holds it now finds it, or makes it again
                if not any(path in held for held in self._held.values()):
                    await asyncio.to_thread(path.unlink, missing_ok=True)

    def _lock(self, path: Path) -> asyncio.Lock:
        """Of a script, of its copies, and of those that have not taken their names yet."""
        return self._locks.setdefault(path.stem, asyncio.Lock())

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
    """The user of this name, unless the agent runs as it, or cannot start anything as another."""
    if sys.platform == "win32" or not name or os.geteuid() != 0:
        return None
    user = User.named(name)
    return None if user.uid == os.geteuid() else user


def _older(folders: Iterable[Path], than: float) -> set[Path]:
    """What is in these folders and was changed before this time."""
    return {path for folder in folders if folder.is_dir() for path in folder.iterdir() if _is_older(path, than)}


def _is_older(path: Path, than: float) -> bool:
    """Whether the file was changed before this time; not when it took its own name meanwhile."""
    try:
        return path.lstat().st_mtime < than
    except FileNotFoundError:
        return False


def _is_whole(path: Path) -> bool:
    """Whether the file has the content that its name says."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest() == path.name
