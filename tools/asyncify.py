"""Writes client/asynchronous.py from client/synchronous.py, so that the two clients cannot drift apart.

`python tools/asyncify.py` writes the file; a unit test fails when it is not what this would write.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parent.parent / "src" / "quarterdeck" / "client"

#: (what stands in the sync client, what it is in the async one), applied in order
REPLACEMENTS = (
    ("The sync client.", "The async client."),
    ("import Iterator, Mapping", "import AsyncIterator, Mapping"),
    ("-> Iterator[", "-> AsyncIterator["),
    ("as a context manager", "as an async context manager"),
    ("class Client:", "class AsyncClient:"),
    ("-> Client:", "-> AsyncClient:"),
    ("def __enter__", "async def __aenter__"),
    ("def __exit__", "async def __aexit__"),
    ("self.close()", "await self.close()"),
    ("httpx.Client(", "httpx.AsyncClient("),
    ("self._http.close()", "await self._http.aclose()"),
    ("self._http.request(", "await self._http.request("),
    ("with self._http.stream", "async with self._http.stream"),
    ("response.read()", "await response.aread()"),
    ("  # noqa: UP028 (the async client cannot)", ""),
    ("for line in response.iter_lines()", "async for line in response.aiter_lines()"),
    ("return self.send(", "return await self.send("),
    ("for data in response.iter_bytes()", "async for data in response.aiter_bytes()"),
    ("content: Iterator[bytes]", "content: AsyncIterator[bytes]"),
    ("transfers.measure(path)", "await asyncio.to_thread(transfers.measure, path)"),
    ("transfers.pieces(", "transfers.pieces_async("),
    ("= self.send(", "= await self.send("),
    ("saw(self.file_status(", "saw(await self.file_status("),
    ("import time\n", "import asyncio\n"),
    ("time.sleep(", "await asyncio.sleep("),
)


def asyncify(source: str) -> str:
    """The async client's source."""
    code = re.sub(r"\n    def (?!__|local|follow|tail)", "\n    async def ", source)
    for sync, asynchronous in REPLACEMENTS:
        code = code.replace(sync, asynchronous)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(CLIENT / "asynchronous.py"), "-"]
    return subprocess.run(command, input=code, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    (CLIENT / "asynchronous.py").write_text(asyncify((CLIENT / "synchronous.py").read_text()))
