"""Contents by their sha256, on disk below the server's home: what is put on nodes, got from them, or run there.

Whole ones lie under their hash, partial ones (`.part`) under their hash and where they come from, so that an upload
goes on where it stopped, also after a kill. What was not used for a while is removed, and the longest unused first when
the limit is reached. No content is ever in memory as a whole; bytes are read and written in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from pathlib import Path

import msgspec

from quarterdeck.link.messages import ARTEFACT_CHUNK_BYTES, ArtefactChunk
from quarterdeck.link.parts import Part, disk_error, file_sha256, open_part
from quarterdeck.model.errors import (
    BadInput,
    Conflict,
    InUse,
    NotFound,
    StorageCorrupt,
    StorageFull,
    TooLarge,
)
from quarterdeck.model.files import FileStatus, StoredFile, check_sha256, is_sha256
from quarterdeck.model.struct import Wire

log = logging.getLogger(__name__)

FileList = list[StoredFile]
#: for how long after its last use a file is not removed to make room for another
IN_USE_S = 3600.0
#: how often unused files are looked for
SWEEP_S = 600.0
#: how exactly it is noted when a file was last used
TOUCH_S = 60.0
#: of the disk, what files never take: the stores need it
KEEP_FREE_BYTES = 256 * 1024 * 1024
#: where people's uploads come from, as `source`
UPLOAD = "upload"
_NAME_LIMIT = 1024


class _Description(Wire, frozen=True, kw_only=True):
    """What is known of a content beyond its bytes; lies beside it."""

    name: str = ""
    added_at: float = 0.0


class Arrival:
    """A content on its way here. To be had from `Files.begin`, and given back with `Files.release`."""

    def __init__(self, part: Part, *, sha256: str, size: int, name: str) -> None:
        self.part = part
        self.sha256 = sha256
        self.size = size  #: of the whole
        self.name = name
        self.busy = asyncio.Lock()  #: held while bytes are written, also when whoever gave them is gone

    @property
    def missing(self) -> int:
        """Bytes that are still to come."""
        return self.size - self.part.size


class Files:
    """Owns `folder`."""

    def __init__(
        self, folder: Path, *, limit_bytes: int, keep_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._keep_s = keep_s
        self._clock = clock
        self._arrivals: dict[Path, Arrival | None] = {}  # by their part; None while it is opened
        self._checked: dict[str, float] = {}  # contents found good in this life → when they were last noted as used
        self._checking: dict[str, asyncio.Task[None]] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # ── what is here ─────────────────────────────────────────────────────────────────────────────────────────────────
    def has(self, sha256: str) -> bool:
        """Whether this content is here as a whole."""
        return is_sha256(sha256) and (self._folder / sha256).exists()

    async def list(self) -> FileList:
        """Every whole content, that last used first."""
        return await asyncio.to_thread(self._list)

    async def status(self, sha256: str) -> FileStatus:
        """How much of it people have uploaded; none is an answer too."""
        return await asyncio.to_thread(self._status, check_sha256(sha256))

    async def size(self, sha256: str) -> int:
        """Bytes of a content; `NotFound`, `StorageCorrupt`."""
        await self._check(sha256)
        return await asyncio.to_thread(lambda: self._path(sha256).stat().st_size)

    async def chunk(self, sha256: str, offset: int) -> ArtefactChunk:
        """The bytes from `offset` on, at most one chunk. `NotFound`, `StorageCorrupt`."""
        await self._check(sha256)
        return await asyncio.to_thread(self._chunk, sha256, max(0, offset))

    async def read(self, sha256: str, begin: int, end: int) -> AsyncGenerator[bytes]:
        """The bytes from `begin` to before `end`, piece by piece; one that is removed meanwhile is read to its end."""
        await self._check(sha256)
        descriptor = await asyncio.to_thread(self._open, sha256)
        try:
            while begin < end:
                step = min(ARTEFACT_CHUNK_BYTES, end - begin)
                try:
                    data = await asyncio.to_thread(os.pread, descriptor, step, begin)
                except OSError as error:
                    raise _unreadable(sha256, error) from error
                if not data:
                    raise StorageCorrupt(f"The file {sha256[:12]} ends before its end.")
                begin += len(data)
                yield data
        finally:
            os.close(descriptor)

    # ── what comes ───────────────────────────────────────────────────────────────────────────────────────────────────
    async def add(self, content: bytes, *, name: str = "") -> str:
        """Keeps a small content, such as a script; its sha256. `StorageFull`."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.has(sha256):
            await self._check(sha256)
            return sha256
        arrival = await self.begin(sha256, size=len(content), source=secrets.token_hex(8), name=name)
        try:
            await self.append(arrival, content)
        finally:
            await self.release(arrival)
        return sha256

    async def upload(
        self, sha256: str, chunks: AsyncIterable[bytes], *, offset: int, size: int, name: str = ""
    ) -> FileStatus:
        """Takes bytes from `offset` on of a content of `size` bytes; how much is there then.

        `Conflict` when `offset` is not where the bytes that are there end, `InUse` while another upload of it is under
        way, `TooLarge`, `StorageFull`, `BadInput` when all is there and has another hash.
        """
        if self.has(check_sha256(sha256)):
            return await self.status(sha256)
        arrival = await self.begin(sha256, size=size, source=UPLOAD, name=name)
        try:
            if offset != arrival.part.size:
                raise Conflict(f"The upload goes on at byte {arrival.part.size}, not at {offset}.")
            whole = not arrival.missing and await self.append(arrival, b"")  # empty, or killed before its last step
            async for data in chunks:
                if whole:
                    raise TooLarge(f"More came than the {size} bytes of the file {sha256[:12]}.")
                whole = await self.append(arrival, data)
        finally:
            await self.release(arrival)
        return await self.status(sha256)

    async def begin(self, sha256: str, *, size: int, source: str, name: str = "") -> Arrival:
        """Opens what has come of a content from `source`, a plain word. `InUse`, `StorageFull`, `TooLarge`."""
        path = self._folder / f"{check_sha256(sha256)}.{source}.part"
        if size < 0:
            raise BadInput(f"A file has 0 or more bytes, not {size}.")
        if size > self._limit:
            raise TooLarge(f"The server keeps {self._limit} bytes of files (`files_bytes`); this one has {size}.")
        if path in self._arrivals:
            raise InUse(f"The file {sha256[:12]} is being sent already.", hint="Try again when that has ended.")
        self._arrivals[path] = None
        try:
            part = await open_part(path, lambda path: self._begin(path, sha256, size))
        except BaseException:
            del self._arrivals[path]
            raise
        arrival = self._arrivals[path] = Arrival(part, sha256=sha256, size=size, name=name[:_NAME_LIMIT])
        return arrival

    async def append(self, arrival: Arrival, data: bytes) -> bool:
        """Takes the next bytes; whether it is now here as a whole. `BadInput`: it is, and it has another hash."""
        return await asyncio.shield(asyncio.create_task(self._write(arrival, data)))

    async def release(self, arrival: Arrival) -> None:
        """Nothing comes for now; what has come stays."""
        async with arrival.busy:
            arrival.part.close()
        self._arrivals.pop(arrival.part.path, None)

    async def _write(self, arrival: Arrival, data: bytes) -> bool:
        async with arrival.busy:
            return await asyncio.to_thread(self._append, arrival, data)

    # ── what goes ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def delete(self, sha256: str) -> None:
        """Removes a content; `NotFound`."""
        if not self.has(check_sha256(sha256)):
            raise _missing(sha256)
        await asyncio.to_thread(self._remove, self._path(sha256))

    async def watch(self) -> None:
        """Runs for ever: removes what was not used for long."""
        while True:
            try:
                await asyncio.to_thread(self.sweep)
            except OSError as error:
                log.warning("unused files cannot be removed now: %s", error)
            await asyncio.sleep(SWEEP_S)

    def sweep(self) -> None:
        """Removes what was not used for `keep_s`."""
        before = self._clock() - self._keep_s
        for path in self._entries():
            if path not in self._arrivals and _look(path)[0] < before:
                log.info("the file %s was not used for long and is removed", path.name)
                self._remove(path)

    # ── in threads ───────────────────────────────────────────────────────────────────────────────────────────────────
    def _path(self, sha256: str) -> Path:
        return self._folder / sha256

    def _entries(self) -> list[Path]:
        """Whole and partial contents."""
        return [path for path in self._folder.iterdir() if path.suffix != ".json"]

    def _list(self) -> FileList:
        found = [self._stored(path, *_look(path)) for path in self._entries() if not path.suffix]
        return sorted(found, key=lambda file: (-file.used_at, file.sha256))

    def _stored(self, path: Path, used_at: float, size: int) -> StoredFile:
        known = self._description(path)
        used_at = max(used_at, self._checked.get(path.name, 0.0))
        return StoredFile(sha256=path.name, size=size, name=known.name, added_at=known.added_at, used_at=used_at)

    def _status(self, sha256: str) -> FileStatus:
        for path, complete in ((self._path(sha256), True), (self._folder / f"{sha256}.{UPLOAD}.part", False)):
            try:
                return FileStatus(sha256=sha256, size=path.stat().st_size, complete=complete)
            except FileNotFoundError:
                continue
        return FileStatus(sha256=sha256, size=0)

    def _open(self, sha256: str) -> int:
        try:
            return os.open(self._path(sha256), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise _missing(sha256) from error
        except OSError as error:
            raise _unreadable(sha256, error) from error

    def _chunk(self, sha256: str, offset: int) -> ArtefactChunk:
        descriptor = self._open(sha256)
        try:
            data = os.pread(descriptor, ARTEFACT_CHUNK_BYTES, min(offset, 2**62))
            size = os.fstat(descriptor).st_size
        except OSError as error:
            raise _unreadable(sha256, error) from error
        finally:
            os.close(descriptor)
        return ArtefactChunk(sha256=sha256, offset=offset, size=size, data=data)

    def _begin(self, path: Path, sha256: str, size: int) -> Part:
        there = path.stat().st_size if path.exists() else 0
        self._make_room(path, size - there)
        part = Part(path)
        if part.size >= size and part.sha256 != sha256:
            part.restart()  # it cannot become what it should be
        return part

    def _append(self, arrival: Arrival, data: bytes) -> bool:
        part = arrival.part
        if len(data) > arrival.missing:
            raise TooLarge(f"More came than the {arrival.size} bytes of the file {arrival.sha256[:12]}.")
        try:
            part.write(data)
            if arrival.missing:
                return False
            if part.sha256 != arrival.sha256:
                raise BadInput(
                    f"The file arrived damaged: its sha256 is {part.sha256[:12]}…, not {arrival.sha256[:12]}…",
                    hint="Send it again; it begins anew.",
                )
            described = _Description(name=arrival.name, added_at=self._clock())
            try:
                self._path(arrival.sha256 + ".json").write_bytes(msgspec.json.encode(described))
            except OSError as error:
                raise disk_error(error, self._folder) from error
            part.finish(self._path(arrival.sha256))
        except (StorageFull, BadInput):
            part.discard()  # what is left of it would keep the disk full, or is not worth going on with
            raise
        self._checked[arrival.sha256] = self._clock()
        return True

    def _make_room(self, path: Path, size: int) -> None:
        """Room for `size` more bytes in the part `path`, by removing what was unused longest; `StorageFull`."""
        entries = {entry: _look(entry) for entry in self._entries()}
        coming = size + sum(arrival.missing for arrival in list(self._arrivals.values()) if arrival is not None)
        disk = os.statvfs(self._folder)
        over = max(
            coming + sum(size for _, size in entries.values()) - self._limit,
            coming + KEEP_FREE_BYTES - disk.f_bavail * disk.f_frsize,
        )
        recent = self._clock() - IN_USE_S
        removed: list[Path] = []
        for entry, (used_at, size_there) in sorted(entries.items(), key=lambda item: item[1]):
            if over > 0 and used_at < recent and entry != path and entry not in self._arrivals:
                removed.append(entry)
                over -= size_there
        if over > 0:
            raise StorageFull(
                f"The server's files have no room for {size} more bytes: {over} are missing of the limit of "
                f"{self._limit}, or of the disk with {KEEP_FREE_BYTES >> 20} MiB left free.",
                hint="Remove some with `qd file rm`, or raise `files_bytes`. Unused for an hour, they make room.",
            )
        for entry in removed:
            log.info("the file %s is removed to make room", entry.name)
            self._remove(entry)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if not path.suffix:
            self._checked.pop(path.name, None)
            path.with_name(path.name + ".json").unlink(missing_ok=True)

    def _description(self, path: Path) -> _Description:
        try:
            return msgspec.json.decode(path.with_name(path.name + ".json").read_bytes(), type=_Description)
        except (OSError, msgspec.DecodeError):
            return _Description()  # only its name is lost

    # ── trust ────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _check(self, sha256: str) -> None:
        """Notes a use. The first in this life reads the content: what is damaged is removed (`StorageCorrupt`)."""
        if not self.has(sha256):
            self._checked.pop(sha256, None)
            raise _missing(sha256)
        now = self._clock()
        if now - self._checked.get(sha256, float("-inf")) < TOUCH_S:
            return
        checking = self._checking.get(sha256)
        if checking is None:
            checking = self._checking[sha256] = asyncio.create_task(asyncio.to_thread(self._verify, sha256, now))
            checking.add_done_callback(lambda _: self._checking.pop(sha256))
        await asyncio.shield(checking)

    def _verify(self, sha256: str, now: float) -> None:
        if sha256 not in self._checked:
            self._compare(sha256)
        self._checked[sha256] = now
        try:
            os.utime(self._path(sha256), (now, now))
        except OSError as error:
            log.debug("the use of the file %s is not noted: %s", sha256, error)

    def _compare(self, sha256: str) -> None:
        descriptor = self._open(sha256)
        try:
            found, _ = file_sha256(descriptor)
        except OSError as error:
            raise _unreadable(sha256, error) from error
        finally:
            os.close(descriptor)
        if found != sha256:
            log.error("the file %s is damaged and is removed", sha256)
            self._remove(self._path(sha256))
            raise StorageCorrupt(
                f"The server's copy of the file {sha256[:12]} was damaged and is removed.", hint="Send it again."
            )


def _missing(sha256: str) -> NotFound:
    return NotFound(f"The server has no file {sha256[:64]}.", hint="It was removed, or never sent; see `qd file ls`.")


def _unreadable(sha256: str, error: OSError) -> StorageCorrupt:
    return StorageCorrupt(f"The server's copy of the file {sha256[:12]} cannot be read: {error.strerror}.")


def _look(path: Path) -> tuple[float, int]:
    """When it was last used, and its size."""
    try:
        state = path.stat()
    except FileNotFoundError:  # removed meanwhile
        return 0.0, 0
    return state.st_mtime, state.st_size
