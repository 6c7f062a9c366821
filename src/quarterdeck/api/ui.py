"""The files of the web UI below `/ui/`, and the way there from `/`.

The files are built from `ui/` of a checkout, or are in the wheel. An address that no file has is one of the UI's own
views, and gets its page. Without built files, one page says how to build them. This module needs no token: the files
contain no data, and the UI signs in itself.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from litestar import HttpMethod, MediaType, Request, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from quarterdeck.model.errors import NotFound
from quarterdeck.model.struct import Struct

UI_PATH = "/ui/"
_PAGE = "index.html"
_HASHED = "assets/"  # files whose names contain the hash of their content
#: where the files may be: those of a checkout, and those in the wheel
FOLDERS = (Path(__file__).parents[3] / "ui" / "dist", Path(__file__).parents[1] / "ui")
_COMPRESSED = ("text/", "application/json", "image/svg+xml", "application/wasm")
_MISSING = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Quarterdeck: the web UI is not built</title>
<style>body { font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }</style>
<h1>The web UI is not built</h1>
<p>This server works, but the files of its web UI are missing. In a checkout, build them with <code>make ui</code> and
reload this page; the wheel and the container image contain them.</p>
<p>Everything can also be done with <code>qd</code> and the API, which is described at
<a href="/schema">/schema</a>.</p>
</html>
"""


class Asset(Struct, frozen=True, kw_only=True):
    """One file, as it is and compressed."""

    content: bytes
    compressed: bytes  #: with gzip; b"": it would not become smaller
    media_type: str
    tag: str  #: for `ETag`


class Assets:
    """The files in the first of `folders` that has the page. They may be built anew while the server runs."""

    def __init__(self, folders: Sequence[Path] = FOLDERS) -> None:
        self._folders = tuple(folders)
        self._read: dict[Path, tuple[tuple[int, int], Asset]] = {}

    async def find(self, name: str) -> Asset | None:
        """Return the file with this path relative to the folder, or None."""
        return await asyncio.to_thread(self._find, name)

    def _find(self, name: str) -> Asset | None:
        root = next((folder.resolve() for folder in self._folders if (folder / _PAGE).is_file()), None)
        if root is None or "\0" in name:
            return None
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return None
        state = path.stat()
        version = (state.st_mtime_ns, state.st_size)
        known = self._read.get(path)
        if known is None or known[0] != version:
            known = self._read[path] = (version, _read(path))
        return known[1]


def routes(assets: Assets) -> tuple[HTTPRouteHandler, ...]:
    """Return the handlers of `/` and of everything below `/ui/`."""

    @route("/", http_method=[HttpMethod.GET, HttpMethod.HEAD], public=True, include_in_schema=False)
    async def root(request: Request[Any, Any, Any]) -> Redirect:
        """Lead browsers to the UI."""
        if "text/html" not in request.headers.get("accept", ""):
            raise NotFound("Nothing is here.", hint=f"The API is described at /schema; the web UI is at {UI_PATH}.")
        return Redirect(UI_PATH)

    @route(
        [UI_PATH, f"{UI_PATH}{{name:path}}"],
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        public=True,
        include_in_schema=False,
    )
    async def ui(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return a file of the UI, or its page for the address of a view."""
        name = request.scope["path"].removeprefix(UI_PATH.rstrip("/")).lstrip("/")
        found = await assets.find(name) if name else None
        if found is not None:
            return _answer(request, found, immutable=name.startswith(_HASHED))
        if name.startswith(_HASHED):  # of an earlier build
            raise NotFound(f"The web UI has no file '{name[:200]}'.", hint="Reload the page.")
        page = await assets.find(_PAGE)
        return _missing() if page is None else _answer(request, page, immutable=False)

    return root, ui


def _answer(request: Request[Any, Any, Any], asset: Asset, *, immutable: bool) -> Response[bytes]:
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if immutable else "no-cache",
        "ETag": asset.tag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == asset.tag:
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    content = asset.content
    if asset.compressed and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = asset.compressed, "gzip"
    return Response(content, headers=headers, media_type=asset.media_type)


def _missing() -> Response[bytes]:
    return Response(
        _MISSING.encode(), status_code=503, headers={"Cache-Control": "no-store"}, media_type=MediaType.HTML
    )


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    media_type = "text/javascript" if path.suffix in {".js", ".mjs"} else media_type
    packed = gzip.compress(content, mtime=0) if media_type.startswith(_COMPRESSED) else b""
    return Asset(
        content=content,
        compressed=packed if len(packed) < len(content) else b"",
        media_type=media_type,
        tag=f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
    )
