"""The commands `put_file` and `get_file`, which receive a file from the server or send one to it.

A received file is written next to its destination, under a name made of the node and the job (several nodes may share
a folder), and replaces it atomically when it is complete. When the agent ends meanwhile, the partial file stays, and
the job continues in the next run of the agent. A job that fails or is ended leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from quarterdeck.agent.commands.command import Command, Outcome, answer, arguments
from quarterdeck.agent.commands.replacing import Wanted, present_at
from quarterdeck.agent.fetches import Fetches
from quarterdeck.agent.offers import Offers
from quarterdeck.kit.files import file_sha256
from quarterdeck.kit.part_files import Part, open_part
from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.link.messages import FileOffer
from quarterdeck.model.disk import disk_error
from quarterdeck.model.errors import AlreadyExists, BadInput, Conflict, NotFound, TooLarge
from quarterdeck.model.files import GetFileArguments, NodeFile, PutFileArguments
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.nodes import AgentIdentity

#: bytes that are hashed between two checks for a kill
_STEP_BYTES = 64 * 1024 * 1024
#: files up to this size that use no disk blocks may report a wrong size: 0 in /proc, a page in /sys
_MADE_UP_BYTES = 64 * 1024
#: the most bytes of such a file, which are kept in memory while they are sent
WHOLE_BYTES = 32 * 1024 * 1024


class FileCommands:
    """The commands on the node `who`. `fill` replaces a variable that a path begins with."""

    def __init__(
        self, *, fetches: Fetches, offers: Offers, fill: Callable[[str], str], who: Callable[[], AgentIdentity]
    ) -> None:
        self._fetches = fetches
        self._offers = offers
        self._fill = fill
        self._who = who
        self._ending = False

    def commands(self) -> dict[str, Command]:
        """Return the commands by name."""
        return {
            "put_file": Command(run=self._put, resume=self._put),
            "get_file": Command(run=self._get, resume=self._get),
        }

    async def close(self) -> None:
        """Let jobs that are cancelled from now on continue in the next run of the agent."""
        self._ending = True

    # ── put_file ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _put(self, job: JobOffer) -> Outcome:
        given = arguments(job, PutFileArguments)
        target = self._path(given.path)
        wanted = await asyncio.to_thread(_prepare, target, given)
        if await asyncio.to_thread(_is_there, target, given, wanted):
            return answer(await asyncio.to_thread(_described, target, given.sha256))
        partial = target.with_name(self._part_name(job))
        part = await open_part(lambda: Part(partial, refused=disk_error))
        part.sparse = wanted.sparse
        await self._whole_or_nothing(part, self._fetch(part, target, given, wanted))
        put = await asyncio.to_thread(_described, target, given.sha256)
        return msgspec.structs.replace(answer(put), reason=wanted.note)

    def _part_name(self, job: JobOffer) -> str:
        who = self._who()
        return f".qd-{hashlib.sha256(f'{who.gid}/{who.nid}/{job.id}'.encode()).hexdigest()[:16]}.part"

    async def _fetch(self, part: Part, target: Path, given: PutFileArguments, wanted: Wanted) -> None:
        await self._fetches.fetch(given.sha256, part, name=str(target))
        await asyncio.to_thread(part.finish, target, lambda descriptor: wanted.give(descriptor, target))

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
    """A file of the node that is being sent, up to the size it had when the transfer began.

    Files in /proc and /sys report no size or a wrong one, and their content changes: they are read once, whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _open(path)
        self._state = os.fstat(self._descriptor)
        self.size = self._state.st_size
        self._content: bytes | None = None
        if self._state.st_size <= _MADE_UP_BYTES and not getattr(self._state, "st_blocks", 1):
            self._read_whole()

    async def sha256(self) -> str:
        """Return the hash of its content; raise `Conflict` when the content changes meanwhile."""
        hashed, at = hashlib.sha256(), 0
        while at < self.size:
            at += await asyncio.to_thread(self._feed, hashed.update, at)
        return hashed.hexdigest()

    def read(self, offset: int) -> bytes:
        """Return the bytes from `offset` on, at most one chunk."""
        return self._read(offset, ARTEFACT_CHUNK_BYTES)

    def described(self, sha256: str) -> NodeFile:
        """Return the description of the sent file."""
        return msgspec.structs.replace(_node_file(self._path, sha256, self._state), size=self.size)

    def close(self) -> None:
        os.close(self._descriptor)

    def _read_whole(self) -> None:
        """Read and keep the whole content if its length differs from the size that the file reports."""
        content = bytearray()
        try:
            while len(content) <= WHOLE_BYTES and (data := _pread(self._descriptor, _STEP_BYTES, len(content))):
                content += data
        except OSError as error:
            os.close(self._descriptor)
            raise disk_error(error, self._path) from error
        if len(content) > WHOLE_BYTES:
            os.close(self._descriptor)
            raise TooLarge(
                f"{self._path} reports {self._state.st_size} bytes but has more than {WHOLE_BYTES}.",
                hint="Copy what you need of it to a file on the node, with `qd run`, and get that.",
            )
        if len(content) != self.size:
            self._content, self.size = bytes(content), len(content)

    def _feed(self, update: Callable[[bytes], None], at: int) -> int:
        begin = at
        while at < self.size and at - begin < _STEP_BYTES:
            data = self._read(at, ARTEFACT_CHUNK_BYTES)
            update(data)
            at += len(data)
        return at - begin

    def _read(self, offset: int, length: int) -> bytes:
        if self._content is not None:
            return self._content[offset : offset + length]
        try:
            data = _pread(self._descriptor, max(0, min(length, self.size - offset)), offset)
            now = os.fstat(self._descriptor)
        except OSError as error:
            raise disk_error(error, self._path) from error
        touched = now.st_mtime_ns != self._state.st_mtime_ns
        if not data or now.st_size < self.size or (touched and now.st_size == self.size):
            raise Conflict(f"{self._path} changed while it was read.", hint="Try again, or copy it on the node first.")
        return data


#: flags of which each system has some
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


def _prepare(target: Path, given: PutFileArguments) -> Wanted:
    """Check that the file can be written, create its folder if needed, and return its metadata."""
    present = present_at(target)
    if present is None:
        _check_folder(target.parent, make=given.make_dirs)
    elif stat.S_ISDIR(present.st_mode):
        raise BadInput(
            f"{target} is a folder.", hint=f"Name the file in it, or end with '/' (`qd file push`): {target}/."
        )
    elif not stat.S_ISLNK(present.st_mode):
        _check_kind(target, present)
    return Wanted.of(given, present)


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


def _is_there(target: Path, given: PutFileArguments, wanted: Wanted) -> bool:
    """Return whether the content exists already, and set mode and owner; raise `AlreadyExists` for another content."""
    present = present_at(target)
    if present is None:
        return False
    if stat.S_ISREG(present.st_mode):
        descriptor = _open(target, follow=False)  # a link that replaced it would redirect owner and mode
        try:
            if file_sha256(descriptor)[0] == given.sha256:
                wanted.set(descriptor)
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
