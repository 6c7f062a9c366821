"""Contents by their sha256, on disk below the server's home: files for nodes, from nodes, and standard input.

Owns the folder of contents. A complete content is named by its hash, a partial one (`.part`) by its hash and source, so
that an upload resumes where it stopped, also after a kill. Contents not used for a while are removed, and the longest
unused first at the limit. No content is ever in memory as a whole; bytes are read and written in threads.
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

from quarterdeck.kit.files import file_sha256
from quarterdeck.kit.part_files import Part, open_part
from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.link.messages import ArtefactChunk
from quarterdeck.model.disk import disk_error
from quarterdeck.model.errors import BadInput, Conflict, InUse, NotFound, StorageCorrupt, StorageFull, TooLarge
from quarterdeck.model.files import FileStatus, StoredFile, check_sha256, is_sha256
from quarterdeck.model.struct import Wire
from quarterdeck.server.files.eviction import NODE_SHARE, UPLOAD, Content, choose_evictions, use_and_size

log = logging.getLogger(__name__)

FileList = list[StoredFile]
#: for how long after its last use a file is not removed in favour of another
IN_USE_S = 3600.0
#: interval of removing unused files
SWEEP_S = 600.0
#: resolution of the time at which a file was last used
TOUCH_S = 60.0
#: bytes of the disk that files never use: the stores need them
KEEP_FREE_BYTES = 256 * 1024 * 1024
_NAME_LIMIT = 1024


class _Description(Wire, frozen=True, kw_only=True):
    """The metadata of a content, in a file next to it."""

    name: str = ""
    added_at: float = 0.0
    source: str = UPLOAD


class Arrival:
    """A content that is being received. `Files.begin` opens it, and `Files.release` closes it."""

    def __init__(self, part: Part, *, sha256: str, size: int, name: str) -> None:
        self.part = part
        self.sha256 = sha256
        self.size = size  #: bytes of the whole content
        self.name = name
        self.busy = asyncio.Lock()  #: held while bytes are written, even when their sender has disconnected

    @property
    def missing(self) -> int:
        """Return the number of bytes that are still to come."""
        return self.size - self.part.size


class Files:
    """The contents in `folder`: at most `limit_bytes` of them, each until it was not used for `keep_s`."""

    def __init__(
        self, folder: Path, *, limit_bytes: int, keep_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._keep_s = keep_s
        self._clock = clock
        self._arrivals: dict[Path, Arrival | None] = {}  # by their part; None while it is opened
        self._checked: dict[str, float] = {}  # contents verified since the start → when their last use was recorded
        self._checking: dict[str, asyncio.Task[None]] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def has(self, sha256: str) -> bool:
        """Return whether this content is complete."""
        return is_sha256(sha256) and (self._folder / sha256).exists()

    async def list(self) -> FileList:
        """Return all complete contents, the most recently used first."""
        return await asyncio.to_thread(self._list)

    async def status(self, sha256: str) -> FileStatus:
        """Return how much of a content users have uploaded, which may be nothing."""
        return await asyncio.to_thread(self._status, check_sha256(sha256))

    async def size(self, sha256: str) -> int:
        """Return the size of a content in bytes; raise `NotFound` or `StorageCorrupt`."""
        await self._check(sha256)
        return await asyncio.to_thread(lambda: self._path(sha256).stat().st_size)

    async def chunk(self, sha256: str, offset: int) -> ArtefactChunk:
        """Return the bytes from `offset` on, at most one chunk; raise `NotFound` or `StorageCorrupt`."""
        await self._check(sha256)
        return await asyncio.to_thread(self._chunk, sha256, max(0, offset))

    async def read(self, sha256: str, begin: int, end: int) -> AsyncGenerator[bytes]:
        """Yield the bytes from `begin` to before `end` in pieces, even if the content is removed in the meantime."""
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
                    raise StorageCorrupt(f"The server's copy of the file {sha256[:12]} is shorter than it was.")
                begin += len(data)
                yield data
        finally:
            os.close(descriptor)

    # ── receiving ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def add(self, content: bytes, *, name: str = "") -> str:
        """Store a small content, such as a script, and return its sha256; raise `StorageFull`."""
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
        """Store bytes from `offset` on of a content of `size` bytes; return how much of it is stored then.

        Raise `Conflict` when `offset` is not the end of the stored bytes, `InUse` while another upload of it is in
        progress, `BadInput` when the complete content has another hash, `TooLarge` or `StorageFull`.
        """
        if self.has(check_sha256(sha256)):
            return await self.status(sha256)
        arrival = await self.begin(sha256, size=size, source=UPLOAD, name=name)
        try:
            if offset != arrival.part.size:
                raise Conflict(f"The upload continues at byte {arrival.part.size}, not at {offset}.")
            whole = not arrival.missing and await self.append(arrival, b"")  # empty, or killed before its last step
            async for data in chunks:
                if whole:
                    raise TooLarge(f"Expected {size} bytes of the file {sha256[:12]}, received more.")
                whole = await self.append(arrival, data)
        finally:
            await self.release(arrival)
        return await self.status(sha256)

    async def begin(self, sha256: str, *, size: int, source: str, name: str = "") -> Arrival:
        """Open the content received so far from `source`, a safe word. Raise `InUse`, `TooLarge` or `StorageFull`."""
        path = self._folder / f"{check_sha256(sha256)}.{source}.part"
        if size < 0:
            raise BadInput(f"A file has 0 or more bytes, not {size}.")
        if size > self._limit:
            raise TooLarge(
                f"The server keeps {self._limit} bytes of files (max_bytes in [server.files]); this one has {size}."
            )
        if path in self._arrivals:
            raise InUse(f"The file {sha256[:12]} is being sent already.", hint="Try again when that has ended.")
        self._arrivals[path] = None
        try:
            part = await open_part(lambda: self._begin(path, size, sha256=sha256, source=source))
        except BaseException:
            del self._arrivals[path]
            raise
        arrival = self._arrivals[path] = Arrival(part, sha256=sha256, size=size, name=name[:_NAME_LIMIT])
        return arrival

    async def append(self, arrival: Arrival, data: bytes) -> bool:
        """Store the next bytes; return whether the content is complete. Raise `BadInput` if its hash is then wrong."""
        return await asyncio.shield(asyncio.create_task(self._write(arrival, data)))

    async def release(self, arrival: Arrival) -> None:
        """Close a content that is being received; the bytes received so far are kept."""
        async with arrival.busy:
            arrival.part.close()
        self._arrivals.pop(arrival.part.path, None)

    async def _write(self, arrival: Arrival, data: bytes) -> bool:
        async with arrival.busy:
            return await asyncio.to_thread(self._append, arrival, data)

    # ── removing ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def delete(self, sha256: str) -> None:
        """Remove a content; raise `NotFound`."""
        if not self.has(check_sha256(sha256)):
            raise _missing(sha256)
        await asyncio.to_thread(self._remove, self._path(sha256))

    async def watch(self) -> None:
        """Run until cancelled: remove contents that were not used for long."""
        while True:
            try:
                await asyncio.to_thread(self.sweep)
            except OSError as error:
                log.warning("unused files cannot be removed now: %s", error)
            await asyncio.sleep(SWEEP_S)

    def sweep(self) -> None:
        """Remove contents that were not used for `keep_s`, and metadata without a content, which a kill may leave."""
        before = self._clock() - self._keep_s
        for path in self._entries():
            if path not in self._arrivals and use_and_size(path)[0] < before:
                log.info("removed the file %s, which was not used for long", path.name)
                self._remove(path)
        for path in self._folder.glob("*.json"):
            if not path.with_suffix("").exists() and use_and_size(path)[0] < before:
                path.unlink(missing_ok=True)

    # ── in threads ───────────────────────────────────────────────────────────────────────────────────────────────────
    def _path(self, sha256: str) -> Path:
        return self._folder / sha256

    def _entries(self) -> list[Path]:
        """Return the paths of complete and partial contents."""
        return [path for path in self._folder.iterdir() if path.suffix != ".json"]

    def _list(self) -> FileList:
        found = [self._stored(path, *use_and_size(path)) for path in self._entries() if not path.suffix]
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

    def _begin(self, path: Path, size: int, *, sha256: str, source: str) -> Part:
        there = path.stat().st_size if path.exists() else 0
        self._make_space(path, size - there, source)
        part = Part(path, refused=disk_error)
        if part.size >= size and part.sha256 != sha256:
            part.restart()  # it has all bytes but another hash
        return part

    def _append(self, arrival: Arrival, data: bytes) -> bool:
        part = arrival.part
        if len(data) > arrival.missing:
            raise TooLarge(f"Expected {arrival.size} bytes of the file {arrival.sha256[:12]}, received more.")
        try:
            part.write(data)
            if arrival.missing:
                return False
            if part.sha256 != arrival.sha256:
                raise BadInput(
                    f"The file arrived damaged: its sha256 is {part.sha256[:12]}…, not {arrival.sha256[:12]}…",
                    hint="Send it again, from its first byte.",
                )
            source = self._source(part.path)
            described = _Description(name=arrival.name, added_at=self._clock(), source=source)
            try:
                self._path(arrival.sha256 + ".json").write_bytes(msgspec.json.encode(described))
            except OSError as error:
                raise disk_error(error, self._folder) from error
            part.finish(self._path(arrival.sha256))
        except (StorageFull, BadInput):
            part.discard()  # the bytes received would keep the disk full, or are damaged
            raise
        self._checked[arrival.sha256] = self._clock()
        return True

    def _make_space(self, path: Path, size: int, source: str) -> None:
        """Make space for `size` more bytes in the part `path` by removing the longest unused; raise `StorageFull`."""
        contents = [Content(entry, self._source(entry), *use_and_size(entry)) for entry in self._entries()]
        coming = {entry: arrival.missing for entry, arrival in list(self._arrivals.items()) if arrival is not None}
        every = size + sum(coming.values())
        disk = os.statvfs(self._folder)
        evictions = choose_evictions(
            contents,
            source=source,
            over=max(
                every + sum(content.size for content in contents) - self._limit,
                every + KEEP_FREE_BYTES - disk.f_bavail * disk.f_frsize,
            ),
            limit=self._limit,
            coming=size + sum(missing for entry, missing in coming.items() if self._source(entry) == source),
            recent=self._clock() - IN_USE_S,
            spared={path, *self._arrivals},
        )
        if evictions.missing > 0:
            raise StorageFull(
                f"The server's files have no space for {size} more bytes: {evictions.missing} bytes are missing, with "
                f"a limit of {self._limit} for all files and {NODE_SHARE:.0%} of it for those of one node, and "
                f"{KEEP_FREE_BYTES >> 20} MiB of the disk left free.",
                hint="Remove some with `qd file rm`, or raise max_bytes in [server.files]. Unused files are "
                "removed for uploads, and those of a node for others of the same node.",
            )
        for entry in evictions.removed:
            log.info("removing the file %s to make space", entry.name)
            self._remove(entry)

    def _source(self, path: Path) -> str:
        """Return the source of a whole or partial content."""
        return path.name.split(".")[1] if path.suffix else self._description(path).source

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if not path.suffix:
            self._checked.pop(path.name, None)
            path.with_name(path.name + ".json").unlink(missing_ok=True)

    def _description(self, path: Path) -> _Description:
        try:
            return msgspec.json.decode(path.with_name(path.name + ".json").read_bytes(), type=_Description)
        except (OSError, msgspec.DecodeError):
            return _Description()  # without it only the name and the time of arrival are lost

    # ── verifying ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _check(self, sha256: str) -> None:
        """Record a use; the first since the start verifies the content and removes a damaged one (`StorageCorrupt`)."""
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
            log.debug("the use of the file %s cannot be recorded: %s", sha256, error)

    def _compare(self, sha256: str) -> None:
        descriptor = self._open(sha256)
        try:
            found, _ = file_sha256(descriptor)
        except OSError as error:
            raise _unreadable(sha256, error) from error
        finally:
            os.close(descriptor)
        if found != sha256:
            log.error("removing the file %s, which is damaged", sha256)
            self._remove(self._path(sha256))
            raise StorageCorrupt(
                f"The server's copy of the file {sha256[:12]} was damaged and has been removed.", hint="Send it again."
            )


def _missing(sha256: str) -> NotFound:
    return NotFound(f"The server has no file {sha256[:64]}.", hint="It was removed, or never sent; see `qd file ls`.")


def _unreadable(sha256: str, error: OSError) -> StorageCorrupt:
    return StorageCorrupt(f"The server's copy of the file {sha256[:12]} cannot be read: {error.strerror}.")
