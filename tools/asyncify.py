"""The generator of client/asynchronous from client/synchronous, which keeps the two clients equal.

`python tools/asyncify.py` writes the files; a unit test fails when they differ from its output.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parent.parent / "src" / "quarterdeck" / "client"
SYNC, ASYNC = CLIENT / "synchronous", CLIENT / "asynchronous"

#: (text in the sync client, text in the async client), applied in order
REPLACEMENTS = (
    ("he sync client", "he async client"),
    ("quarterdeck.client.synchronous", "quarterdeck.client.asynchronous"),
    ("import Iterator", "import AsyncIterator"),
    ("import Generator, Iterator", "import AsyncGenerator, AsyncIterator"),
    ("-> Generator[", "-> AsyncGenerator["),
    ("-> Iterator[", "-> AsyncIterator["),
    ("content: Iterator[bytes]", "content: AsyncIterator[bytes]"),
    ("contextmanager\n", "asynccontextmanager\n"),
    ("as a context manager", "as an async context manager"),
    ("class Client:", "class AsyncClient:"),
    ("-> Client:", "-> AsyncClient:"),
    ("def __enter__", "async def __aenter__"),
    ("def __exit__", "async def __aexit__"),
    ("self.close()", "await self.close()"),
    ("self._connection.close()", "await self._connection.close()"),
    ("httpx.BaseTransport", "httpx.AsyncBaseTransport"),
    ("httpx.Client(", "httpx.AsyncClient("),
    ("httpx.HTTPTransport(", "httpx.AsyncHTTPTransport("),
    ("self._http.close()", "await self._http.aclose()"),
    ("self._http.request(", "await self._http.request("),
    ("with self._http.stream", "async with self._http.stream"),
    ("with self.open(", "async with self.open("),
    ("with self._connection.open(", "async with self._connection.open("),
    ("response.read()", "await response.aread()"),
    ("  # noqa: UP028 (the async client cannot)", ""),
    ("for line in response.iter_lines()", "async for line in response.aiter_lines()"),
    ("for data in response.iter_bytes()", "async for data in response.aiter_bytes()"),
    ("self._connection.send(", "await self._connection.send("),
    ("transfers.measure(path)", "await asyncio.to_thread(transfers.measure, path)"),
    ("transfers.pieces(", "transfers.pieces_async("),
    ("saw(self.get(", "saw(await self.get("),
    ("import time\n", "import asyncio\n"),
    ("time.sleep(", "await asyncio.sleep("),
)


def asyncify(source: str) -> str:
    """Return the source of a file of the async client, not yet formatted."""
    # a method that returns a stream is not a coroutine; `Connection` has the generators that it returns
    plain = r"__|local|tail|output" if "class Connection:" in source else r"__|local|tail|output|follow"
    code = re.sub(rf"\n    def (?!{plain})", "\n    async def ", source)
    for sync, asynchronous in REPLACEMENTS:
        code = code.replace(sync, asynchronous)
    return code


def write(folder: Path) -> None:
    """Write the async client to `folder`, and remove what is no longer generated."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.py"):
        if not (SYNC / path.name).exists():
            path.unlink()
    for path in SYNC.glob("*.py"):
        (folder / path.name).write_text(asyncify(path.read_text()))
    ruff = [sys.executable, "-m", "ruff"]
    project = ["--config", str(CLIENT.parent.parent.parent / "pyproject.toml")]
    subprocess.run([*ruff, "check", "-q", "--fix-only", "--select", "I", *project, str(folder)], check=True)
    subprocess.run([*ruff, "format", "-q", *project, str(folder)], check=True)


if __name__ == "__main__":
    write(ASYNC)
