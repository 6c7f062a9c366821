"""`client.files`: contents that the server stores, and their transfer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx

from quarterdeck.client import calls, transfers
from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import PREFIX, Call, delete, get, segment
from quarterdeck.client.transfers import Download, Measured, Patience, Progress
from quarterdeck.model.errors import NotFound, QuarterdeckError
from quarterdeck.model.files import FileStatus, StoredFile


class Files(Namespace):
    """Contents that the server stores, and their transfer."""

    async def upload(
        self, path: Path, *, name: str = "", progress: Progress | None = None, measured: Measured | None = None
    ) -> FileStatus:
        """Send a file to the server unless the server has it, and resume after an interruption.

        `progress` receives (bytes, total). `measured` is the file's hash and size, if known. Commands name the content
        by the sha256 of the answer.
        """
        sha256, size = measured or await asyncio.to_thread(transfers.measure, path)
        patience = Patience()
        while True:
            try:
                status = patience.saw(await self.get(sha256))
                if not status.complete:
                    call = _upload(sha256, offset=status.size, size=size, name=name or path.name)
                    status = await self._connection.send(
                        call, transfers.pieces_async(path, status.size, size, progress)
                    )
                return transfers.whole(path, status)
            except QuarterdeckError as error:
                patience.check(error)
            await asyncio.sleep(transfers.RESUME_S)

    async def download(self, sha256: str, path: Path, *, mode: int = 0o644, progress: Progress | None = None) -> None:
        """Write a content that the server has to a file.

        An interrupted download is resumed, also by a later run of this program.
        """
        patience = Patience()
        status = patience.saw(await self.get(sha256))
        if not status.complete:
            raise NotFound(f"The server has no file {sha256[:64]}.", hint="See `qd file ls`.")
        endpoint = self._connection.endpoint
        with Download(path, status) as download:
            while download.missing:
                try:
                    async with self._connection.open(download.request(endpoint.token)) as response:
                        async for data in response.aiter_bytes():
                            download.write(data)
                            if progress is not None:
                                progress(download.at, download.size)
                except httpx.TransportError as error:
                    patience.check(calls.unreachable(endpoint.url, error), download.at)
                    await asyncio.sleep(transfers.RESUME_S)
            download.finish(mode)

    async def get(self, sha256: str) -> FileStatus:
        """Return how much of a content the server has."""
        return await self._connection.send(get(f"/files/{segment(sha256)}/status", FileStatus))

    async def list(self) -> Sequence[StoredFile]:
        """Return the contents that the server stores, the most recently used first."""
        return await self._connection.send(get("/files", list[StoredFile]))

    async def remove(self, sha256: str) -> None:
        """Remove a content from the server. Files on nodes stay there."""
        return await self._connection.send(delete(f"/files/{segment(sha256)}"))


def _upload(sha256: str, *, offset: int, size: int, name: str) -> Call[FileStatus]:
    return Call(
        method="PUT",
        path=f"{PREFIX}/files/{segment(sha256)}",
        returns=FileStatus,
        query={"offset": str(offset), "size": str(size), "name": name},
        content_type="application/octet-stream",
    )
