"""Routes of files: uploads and downloads of contents by their sha256, each from any byte on.

Bodies are streamed; no content is in memory as a whole.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import Request, delete, get, put
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, HeaderParameter
from litestar.response import Stream

from quarterdeck.api.access import describe, leave_out
from quarterdeck.model.errors import BadInput
from quarterdeck.model.files import FileStatus, StoredFile, Transfer
from quarterdeck.model.tokens import Role
from quarterdeck.server.files.files import Files
from quarterdeck.server.files.transfers import Transfers

log = logging.getLogger(__name__)
Asked = Request[Any, Any, Any]
#: bytes of a body that are gathered before they are written
STEP_BYTES = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


@put(
    "/files/{sha256:str}",
    operation_id="uploadFile",
    status_code=200,
    role=Role.OPERATOR,
    audit=True,
    request_max_body_size=None,
)
async def upload_file(
    server_files: NamedDependency[Files],
    request: Asked,
    sha256: FromPath[str],
    *,
    size: FromQuery[int],
    offset: FromQuery[int] = 0,
    name: FromQuery[str] = "",
) -> FileStatus:
    """Store the bytes of a content from `offset` on, and return how many are stored. `size` is the whole content's.

    After an interruption, `GET …/status` returns where to resume. A complete content is checked against its sha256.
    """
    describe(request.scope, target=sha256, detail=f"{name}, {size} bytes" if name else f"{size} bytes")
    status = await server_files.upload(sha256, _pieces(request), offset=offset, size=size, name=name)
    if not status.complete:
        leave_out(request.scope)
    return status


@get("/files", operation_id="listFiles", role=Role.OPERATOR)
async def list_files(server_files: NamedDependency[Files]) -> list[StoredFile]:
    """List the contents that the server stores, the most recently used first."""
    return await server_files.list()


@get("/files/{sha256:str}/status", operation_id="fileStatus", role=Role.OPERATOR)
async def file_status(server_files: NamedDependency[Files], sha256: FromPath[str]) -> FileStatus:
    """Return how much of a content is stored: all of it, the part that was uploaded, or nothing."""
    return await server_files.status(sha256)


@get("/files/{sha256:str}", operation_id="downloadFile", role=Role.OPERATOR, media_type="application/octet-stream")
async def download_file(
    server_files: NamedDependency[Files],
    sha256: FromPath[str],
    wanted: Annotated[str, HeaderParameter(name="Range")] = "",
) -> Stream:
    """Download a content, or with `Range: bytes=FROM-` or `bytes=FROM-TO` a part of it (206)."""
    size = await server_files.size(sha256)
    begin, end = _range(wanted, size)
    headers = {"Content-Length": str(end - begin), "Accept-Ranges": "bytes"}
    if wanted:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    return Stream(
        server_files.read(sha256, begin, end),
        status_code=206 if wanted else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


@get("/transfers", operation_id="listTransfers", role=Role.OPERATOR)
async def list_transfers(server_transfers: NamedDependency[Transfers]) -> list[Transfer]:
    """List the progress of files to nodes and from nodes that transferred bytes in the last 30 seconds."""
    return server_transfers.list()


@delete("/files/{sha256:str}", operation_id="deleteFile", role=Role.OPERATOR, audit=True)
async def delete_file(server_files: NamedDependency[Files], sha256: FromPath[str]) -> None:
    """Remove a content from the server. Copies on nodes are kept."""
    await server_files.delete(sha256)


async def _pieces(request: Asked) -> AsyncIterator[bytes]:
    """Yield the request's body in pieces of about `STEP_BYTES`. A body that is cut off ends with the bytes received."""
    waiting, size = list[bytes](), 0
    try:
        async for data in request.stream():
            waiting.append(data)
            size += len(data)
            if size >= STEP_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
    except HTTPException:  # the client has disconnected; it can resume after the bytes written now
        log.debug("an upload was cut off")
    if size:
        yield b"".join(waiting)


def _range(wanted: str, size: int) -> tuple[int, int]:
    """Return the first byte of the range, and the one after its last."""
    if not wanted:
        return 0, size
    found = _RANGE.fullmatch(wanted)
    if found is None:
        raise BadInput(f"Expected a range as bytes=FROM- or bytes=FROM-TO, found {wanted[:100]!r}.")
    begin, end = int(found[1]), min(int(found[2] or size), size - 1) + 1
    if not begin < end:
        raise BadInput(f"The file has {size} bytes; the range {wanted[:100]} contains none of them.")
    return begin, end


ROUTES = (upload_file, list_files, file_status, download_file, list_transfers, delete_file)
