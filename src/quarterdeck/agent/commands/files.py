"""The commands `put_file` and `get_file`: a file comes from the server, or goes to it.

A file that comes is written beside its destination, under a name made of the node and the job (several nodes may share
a folder), and takes its place at once when it is whole. When the agent ends in the middle, what is there stays, and the
job goes on in the agent's next life. A job that fails or is ended leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from quarterdeck.agent.commands.command import Command, Outcome, answer, arguments
from quarterdeck.agent.fetches import Fetches
from quarterdeck.agent.offers import Offers
from quarterdeck.link.messages import ARTEFACT_CHUNK_BYTES, FileOffer
from quarterdeck.link.parts import Part, disk_error, file_sha256, open_part
from quarterdeck.model.errors import AlreadyExists, BadInput, Conflict, NotFound, NotInstalled, StorageFull
from quarterdeck.model.files import GetFileArguments, NodeFile, PutFileArguments
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.nodes import AgentIdentity

#: of a file that is new here
MODE = 0o644
#: bytes that are hashed between two looks whether the job was ended
_STEP_BYTES = 64 * 1024 * 1024


class _Wanted(NamedTuple):
    """What a file is to be beside its content; None: as the agent makes it."""

    mode: int
    owner: tuple[int, int] | None


class FileCommands:
    """The two commands, on the node `who`. `fill` replaces the words that stand for folders."""

    def __init__(
        self, *, fetches: Fetches, offers: Offers, fill: Callable[[str], str], who: Callable[[], AgentIdentity]
    ) -> None:
        self._fetches = fetches
        self._offers = offers
        self._fill = fill
        self._who = who
        self._ending = False

    def commands(self) -> dict[str, Command]:
        """By their names."""
        return {
            "put_file": Command(run=self._put, resume=self._put),
            "get_file": Command(run=self._get, resume=self._get),
        }

    async def close(self) -> None:
        """The agent ends: what is cancelled from now on goes on in its next life."""
        self._ending = True

    # ── put_file ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _put(self, job: JobOffer) -> Outcome:
        given = arguments(job, PutFileArguments)
        target = self._path(given.path)
        wanted = await asyncio.to_thread(_prepare, target, given)
        if await asyncio.to_thread(_is_there, target, given, wanted):
            return answer(await asyncio.to_thread(_described, target, given.sha256))
        part = await open_part(target.with_name(self._part_name(job)))
        await self._whole_or_nothing(part, self._fetch(part, target, given, wanted))
        return answer(await asyncio.to_thread(_described, target, given.sha256))

    def _part_name(self, job: JobOffer) -> str:
        who = self._who()
        return f".qd-{hashlib.sha256(f'{who.gid}/{who.nid}/{job.id}'.encode()).hexdigest()[:16]}.part"

    async def _fetch(self, part: Part, target: Path, given: PutFileArguments, wanted: _Wanted) -> None:
        await asyncio.to_thread(_check_room, part, given.size)
        await self._fetches.fetch(given.sha256, part, name=str(target))
        await asyncio.to_thread(part.finish, target, lambda descriptor: _set(descriptor, wanted))

    async def _whole_or_nothing(self, part: Part, work: Awaitable[None]) -> None:
        try:
            await work
        except BaseException:
            if not self._ending:
                await asyncio.to_thread(part.discard)
            raise
        finally:
            part.close()

    # ── get_file ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _get(self, job: JobOffer) -> Outcome:
        path = self._path(arguments(job, GetFileArguments).path)
        file = await asyncio.to_thread(_OpenFile, path)
        try:
            sha256 = await file.sha256()
            offer = FileOffer(job=job.id, sha256=sha256, size=file.size, name=str(path))
            await self._offers.send(offer, file.read)
        finally:
            file.close()
        return answer(file.described(sha256))

    def _path(self, given: str) -> Path:
        path = Path(self._fill(given))
        if not path.is_absolute() or "\0" in given or given.endswith("/"):
            raise BadInput(
                f"Expected the absolute path of a file, found '{given[:300]}'.",
                hint="It begins with / or with $root, $agentroot or $tmp, and ends with the file's own name.",
            )
        return path


class _OpenFile:
    """A file of the node that is being sent: what it held when that began. One that grows is sent up to there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _open(path)
        self._state = os.fstat(self._descriptor)
        self.size = self._state.st_size

    async def sha256(self) -> str:
        """Of its content. `Conflict` when it changes meanwhile."""
        hashed, at = hashlib.sha256(), 0
        while at < self.size:
            at += await asyncio.to_thread(self._feed, hashed.update, at)
        return hashed.hexdigest()

    def read(self, offset: int) -> bytes:
        """The bytes from `offset` on, at most one chunk."""
        return self._read(offset, ARTEFACT_CHUNK_BYTES)

    def described(self, sha256: str) -> NodeFile:
        """What was sent."""
        return _node_file(self._path, sha256, self._state)

    def close(self) -> None:
        os.close(self._descriptor)

    def _feed(self, update: Callable[[bytes], None], at: int) -> int:
        begin = at
        while at < self.size and at - begin < _STEP_BYTES:
            data = self._read(at, ARTEFACT_CHUNK_BYTES)
            update(data)
            at += len(data)
        return at - begin

    def _read(self, offset: int, length: int) -> bytes:
        try:
            data = _pread(self._descriptor, max(0, min(length, self.size - offset)), offset)
            now = os.fstat(self._descriptor)
        except OSError as error:
            raise disk_error(error, self._path) from error
        touched = now.st_mtime_ns != self._state.st_mtime_ns
        if not data or now.st_size < self.size or (touched and now.st_size == self.size):
            raise Conflict(f"{self._path} changed while it was read.", hint="Try again, or copy it on the node first.")
        return data


#: a system has some of these
_READ = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT"))


# ── in threads ──────────────────────────────────────────────────────────────────────────────────────────────────────
def _open(path: Path, *, follow: bool = True) -> int:
    try:
        descriptor = os.open(path, _READ | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"There is no file {path}.") from error
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        _check_kind(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_kind(path: Path, state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise BadInput(f"{path} is a folder.", hint="Only files are sent: pack it with tar.")
    if not stat.S_ISREG(state.st_mode):
        raise BadInput(f"{path} is not a file but a device, pipe or socket.")


def _prepare(target: Path, given: PutFileArguments) -> _Wanted:
    """Checks whether it can be written, makes its folder if need be; what it is to be."""
    present = _present(target)
    owner = _owner(given.user)
    if present is None:
        _check_folder(target.parent, make=given.make_dirs)
        return _Wanted(int(given.mode or "0", 8) if given.mode else MODE, owner)
    if not stat.S_ISLNK(present.st_mode):
        _check_kind(target, present)
    if stat.S_ISREG(present.st_mode):
        mode = int(given.mode, 8) if given.mode else stat.S_IMODE(present.st_mode)
        return _Wanted(mode, owner or (present.st_uid, present.st_gid))
    return _Wanted(int(given.mode, 8) if given.mode else MODE, owner)


def _present(target: Path) -> os.stat_result | None:
    try:
        return target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise disk_error(error, target) from error


def _check_folder(folder: Path, *, make: bool) -> None:
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        elif not folder.is_dir():
            raise NotFound(
                f"There is no folder {folder}.", hint="Make it, or have it made by make_dirs (`qd file push --mkdir`)."
            )
    except OSError as error:
        raise disk_error(error, folder) from error


def _pread(descriptor: int, length: int, offset: int) -> bytes:
    if sys.platform == "win32":
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, length)
    return os.pread(descriptor, length, offset)


def _owner(user: str) -> tuple[int, int] | None:
    if not user:
        return None
    if sys.platform == "win32":
        raise NotInstalled("Files belong to the agent's own user on this system.")
    import pwd  # noqa: PLC0415

    try:
        found = pwd.getpwnam(user)
    except KeyError as error:
        raise NotFound(f"This node has no user '{user}'.") from error
    return found.pw_uid, found.pw_gid


def _is_there(target: Path, given: PutFileArguments, wanted: _Wanted) -> bool:
    """Whether the content is there already; then mode and owner are set. `AlreadyExists`: another must not go."""
    present = _present(target)
    if present is None:
        return False
    if stat.S_ISREG(present.st_mode):
        descriptor = _open(target, follow=False)  # a link that took its place would pass owner and mode on
        try:
            if file_sha256(descriptor)[0] == given.sha256:
                _set(descriptor, wanted)
                return True
        except OSError as error:
            raise disk_error(error, target) from error
        finally:
            os.close(descriptor)
    if not given.overwrite:
        raise AlreadyExists(
            f"{target} is there, with another content.",
            hint="It is replaced with overwrite (`qd file push` without --keep).",
        )
    return False


def _set(descriptor: int, wanted: _Wanted) -> None:
    if sys.platform == "win32":  # which has neither
        return
    state = os.fstat(descriptor)
    if wanted.owner is not None and wanted.owner != (state.st_uid, state.st_gid):
        os.fchown(descriptor, *wanted.owner)
    os.fchmod(descriptor, wanted.mode)  # after the owner, whose change takes the set-user-id bit away


def _check_room(part: Part, size: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if size - part.size > free:
        raise StorageFull(f"There is no room for {part.path.parent}: {size} bytes are to come, and {free} are free.")


def _described(target: Path, sha256: str) -> NodeFile:
    return _node_file(target, sha256, target.stat())


def _node_file(path: Path, sha256: str, state: os.stat_result) -> NodeFile:
    return NodeFile(
        path=str(path),
        sha256=sha256,
        size=state.st_size,
        mode=f"{stat.S_IMODE(state.st_mode):04o}",
        mtime=state.st_mtime,
    )
