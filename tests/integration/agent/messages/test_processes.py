"""The output of real processes through real pipes: all of it is stored, and can be found."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from quarterdeck.agent.messages.lines import LineParser
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.losses import Loss
from quarterdeck.model.messages import Level, LogLevels, Mark, Message, MessageFilter
from quarterdeck.model.tables import Table
from tests.support import until

ROUTING = Routing.of(LogLevels(loglevels_db="*", loglevels_ac="7"))


class Forwarded:
    rows = 0

    def emit(self, table: Table, rows: int, body: bytes, module: str, losses: Sequence[Loss]) -> None:
        self.rows += rows

    def lose(self, loss: Loss) -> None:
        raise AssertionError(loss)


@pytest.fixture
def forwarded() -> Forwarded:
    return Forwarded()


@pytest.fixture
async def log(tmp_path: Path, forwarded: Forwarded) -> AsyncIterator[MessageLog]:
    log = MessageLog(
        tmp_path / "messages", outlet=Outlet(emit=forwarded.emit, lose=forwarded.lose), file_bytes=4_000_000
    )
    keeping = asyncio.create_task(log.keep())
    yield log
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await log.close()


async def follow(log: MessageLog, stream: asyncio.StreamReader, source: Source, level: Level) -> None:
    """Read one stream of a process to its end."""
    parser = LineParser(level)
    while chunk := await stream.read(65536):
        await log.put(Run.of(source, parser.feed(chunk), epoch_ms=1), ROUTING)
    await log.put(Run.of(source, parser.end(), epoch_ms=1), ROUTING)


async def run(log: MessageLog, program: str, *, job: str = "job") -> None:
    """Run a Python program, and store its output on both streams."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    await asyncio.gather(
        follow(log, process.stdout, Source(job), Level.STDOUT), follow(log, process.stderr, Source(job), Level.STDERR)
    )
    assert await process.wait() == 0


async def everything(log: MessageLog, **wanted: str) -> list[Message]:
    found: list[Message] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await log.select(MessageFilter(cursor=cursor, **wanted))  # type: ignore[arg-type]
        assert page.problems == ()
        found += page.messages
        cursor = page.cursor
    return found


async def test_both_streams_and_every_level(log: MessageLog, forwarded: Forwarded) -> None:
    await run(
        log,
        "import sys\nprint('out'); print('7::warn'); print('20:::'); print('{'); print(); print('}'); print(':::')\n"
        "print('50::exit', end='', flush=True); print('err', file=sys.stderr)",
    )
    found = sorted((message.level, message.data, message.marks) for message in await everything(log))
    assert found == [(1, "50::exit", Mark.CONTINUES), (1, "out", 0), (2, "err", 0), (7, "warn", 0), (20, "{\n\n}", 0)]
    await until(lambda: forwarded.rows == 1)


async def test_ten_thousand_lines_in_one_write(log: MessageLog) -> None:
    await run(log, "import os\nos.write(1, b''.join(b'line %d\\n' % n for n in range(10_000)))")
    assert [message.data for message in await everything(log)] == [f"line {number}" for number in range(10_000)]


async def test_a_line_of_many_megabytes_and_binary_lose_nothing(log: MessageLog) -> None:
    program = """
import hashlib, random, sys
chance = random.Random(7)
content = b"x" * 5_000_000 + b"\\n" + chance.randbytes(3_000_000) + b"\\0\\r\\n" * 50
sys.stdout.buffer.write(content)
sys.stderr.write("20::" + hashlib.sha256(content).hexdigest() + "\\n")
"""
    await run(log, program)
    rebuilt = hashlib.sha256()
    for message in await everything(log, levels="1"):
        ending = b"" if message.marks & Mark.CONTINUES else b"\r\n" if message.marks & Mark.CRLF else b"\n"
        rebuilt.update((message.raw or message.data.encode()) + ending)
    (said,) = await everything(log, levels="20")
    assert said.data == rebuilt.hexdigest()


async def test_many_processes_at_once_over_many_files(log: MessageLog, tmp_path: Path) -> None:
    program = "for number in range(5000): print(f'line {number}', 'x' * 100)"
    await asyncio.gather(*(run(log, program, job=f"job{number}") for number in range(8)))
    for number in range(8):
        lines = [message.data.split()[1] for message in await everything(log, job_id=f"job{number}")]
        assert lines == [str(place) for place in range(5000)]
    ids = [message.id for message in await everything(log)]
    assert sorted(ids) == list(range(40_000))
    assert len(list((tmp_path / "messages").glob("*.db"))) > 1
