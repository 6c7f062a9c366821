"""Files over HTTP: contents by their sha256, up and down, each from any byte on. Bodies pass through; none is held."""

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
from quarterdeck.server.server import Server

log = logging.getLogger(__name__)
Asked = Request[Any, Any, Any]
#: what is gathered of a body before it is written
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
    server: NamedDependency[Server],
    request: Asked,
    sha256: FromPath[str],
    *,
    size: FromQuery[int],
    offset: FromQuery[int] = 0,
    name: FromQuery[str] = "",
) -> FileStatus:
    """Takes the bytes of a content from `offset` on; `size` is the whole's. How much is there then.

    After a cut, `GET …/status` says where to go on. When all has come it is checked against its sha256.
    """
    describe(request.scope, target=sha256, detail=f"{name}, {size} bytes" if name else f"{size} bytes")
    status = await server.files.upload(sha256, _pieces(request), offset=offset, size=size, name=name)
    if not status.complete:
        leave_out(request.scope)
    return status


@get("/files", operation_id="listFiles", role=Role.OPERATOR)
async def list_files(server: NamedDependency[Server]) -> list[StoredFile]:
    """The contents that the server keeps, that last used first."""
    return await server.files.list()


@get("/files/{sha256:str}/status", operation_id="fileStatus", role=Role.OPERATOR)
async def file_status(server: NamedDependency[Server], sha256: FromPath[str]) -> FileStatus:
    """How much of a content is here: all, a part that was uploaded, or nothing."""
    return await server.files.status(sha256)


@get("/files/{sha256:str}", operation_id="downloadFile", role=Role.OPERATOR, media_type="application/octet-stream")
async def download_file(
    server: NamedDependency[Server],
    sha256: FromPath[str],
    wanted: Annotated[str, HeaderParameter(name="Range")] = "",
) -> Stream:
    """A content, or with `Range: bytes=FROM-` or `bytes=FROM-TO` a part of it (206)."""
    size = await server.files.size(sha256)
    begin, end = _range(wanted, size)
    headers = {"Content-Length": str(end - begin), "Accept-Ranges": "bytes"}
    if wanted:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    return Stream(
        server.files.read(sha256, begin, end),
        status_code=206 if wanted else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


@get("/transfers", operation_id="listTransfers", role=Role.OPERATOR)
async def list_transfers(server: NamedDependency[Server]) -> list[Transfer]:
    """How far files are on their way to nodes and from them; those that moved in the last 30 seconds."""
    return server.transfers.list()


@delete("/files/{sha256:str}", operation_id="deleteFile", role=Role.OPERATOR, audit=True)
async def delete_file(server: NamedDependency[Server], sha256: FromPath[str]) -> None:
    """Removes a content from the server. What was put on nodes stays there."""
    await server.files.delete(sha256)


async def _pieces(request: Asked) -> AsyncIterator[bytes]:
    """The request's body in pieces that are worth a write; one that is cut off ends with what has come."""
    waiting, size = list[bytes](), 0
    try:
        async for data in request.stream():
            waiting.append(data)
            size += len(data)
            if size >= STEP_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
    except HTTPException:  # whoever sent it is gone, and goes on after what is written now
        log.debug("an upload was cut off")
    if size:
        yield b"".join(waiting)


def _range(wanted: str, size: int) -> tuple[int, int]:
    """From which byte to before which."""
    if not wanted:
        return 0, size
    found = _RANGE.fullmatch(wanted)
    if found is None:
        raise BadInput(f"Expected a range as bytes=FROM- or bytes=FROM-TO, found {wanted[:100]!r}.")
    begin, end = int(found[1]), min(int(found[2] or size), size - 1) + 1
    if not begin < end:
        raise BadInput(f"The file has {size} bytes; there are none in the range {wanted[:100]}.")
    return begin, end


ROUTES = (upload_file, list_files, file_status, download_file, list_transfers, delete_file)
