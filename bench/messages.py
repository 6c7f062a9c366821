"""Lines that a process prints, from its pipe into the node's SQLite store, and the marked ones to the table.

A process on the other CPU prints numbered lines of about 100 bytes as fast as the pipe takes them; every tenth is a
warning (`7::`), which is also encoded for the server. One CPU parses, numbers, stores and encodes. The time is from the
first byte until everything is in SQLite, and every line is accounted for: the store is read back and counted.

Peer, in the same run: SQLite alone, taking as many rows of the same bytes, ready made, without an index.

Targets: ≥ 100,000 lines a second on one core, none lost.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import CONSUMER_CPU, PRODUCER_CPU, Target, note, pin, report
from quarterdeck.agent.messages.lines import LineParser
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.losses import Loss
from quarterdeck.model.messages import Level, LogLevels, MessageFilter
from quarterdeck.model.tables import Table

LINES = 400_000
ROUNDS = 3
CHUNK_BYTES = 64 * 1024
TRANSACTION_ROWS = 10_000

LINE = "{mark}2026-11-21T12:00:00.000Z INFO shop.orders order {number} taken from the queue and put into the books"
PROGRAM = """
import sys
lines, line = int(sys.argv[1]), sys.argv[2]
for start in range(0, lines, 10_000):
    block = "".join(
        line.format(mark="7::" if number % 10 == 0 else "", number=number) + "\\n"
        for number in range(start, start + 10_000)
    )
    sys.stdout.write(block)
"""


@dataclass(frozen=True, slots=True)
class Round:
    """The time of one round, and the messages that arrived."""

    seconds: float
    cpu_s: float
    stored: int
    forwarded: int


class Forwarded:
    """Receives the batches instead of the outbox."""

    rows = 0

    def emit(self, _table: Table, rows: int, _body: bytes, _module: str, _losses: Sequence[Loss]) -> None:
        self.rows += rows

    def lose(self, loss: Loss) -> None:
        raise RuntimeError(f"messages were lost: {loss}")


def main() -> None:
    pin(CONSUMER_CPU)
    with TemporaryDirectory(prefix="qd-bench-") as folder:
        rounds = [asyncio.run(_round(Path(folder) / str(number))) for number in range(ROUNDS)]
        alone = statistics.median(_sqlite_alone(Path(folder) / f"{number}.db") for number in range(ROUNDS))
    per_s = statistics.median(LINES / each.seconds for each in rounds)
    report(
        "messages",
        figures={
            "lines_per_s": per_s,
            "cpu_ns_per_line": statistics.median(1e9 * each.cpu_s / LINES for each in rounds),
            "lost": sum(LINES - each.stored + LINES // 10 - each.forwarded for each in rounds),
        },
        peer={"name": "SQLite alone, the same rows ready made", "lines_per_s": alone},
        ratio=per_s / alone,
        targets=(Target("lines_per_s", at_least=100_000), Target("lost", at_most=0)),
    )


async def _round(folder: Path) -> Round:
    """Run a process that prints all lines, and wait until they are stored."""
    forwarded = Forwarded()
    log = MessageLog(folder, outlet=Outlet(emit=forwarded.emit, lose=forwarded.lose))
    keeping = asyncio.create_task(log.keep())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(LINES), LINE, stdout=asyncio.subprocess.PIPE, limit=4 * CHUNK_BYTES
    )
    assert process.stdout is not None
    pin(PRODUCER_CPU, process.pid)
    parser, source, routing = LineParser(Level.STDOUT), Source("bench"), Routing.of(LogLevels())
    chunk = await process.stdout.read(CHUNK_BYTES)
    began, cpu_began = time.perf_counter(), time.process_time()
    while chunk:
        await log.put(Run.of(source, parser.feed(chunk), epoch_ms=time.time_ns() // 1_000_000), routing)
        chunk = await process.stdout.read(CHUNK_BYTES)
    await log.put(Run.of(source, parser.end(), epoch_ms=time.time_ns() // 1_000_000), routing)
    await log.flush()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    await process.wait()
    stored = await log.delete(MessageFilter(job_id="bench", text=" put into the books"))
    keeping.cancel()
    await asyncio.wait({keeping})
    await log.close()
    note(f"{stored:,} of {LINES:,} lines in {seconds:.2f} s, {cpu_s:.2f} s of CPU")
    return Round(seconds=seconds, cpu_s=cpu_s, stored=stored, forwarded=forwarded.rows)


def _sqlite_alone(path: Path) -> float:
    """Return the rows per second."""
    rows = [LINE.format(mark="", number=number).encode() for number in range(LINES)]
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY, epoch INTEGER, level INTEGER, data BLOB)")
        began = time.perf_counter()
        for start in range(0, LINES, TRANSACTION_ROWS):
            batch = rows[start : start + TRANSACTION_ROWS]
            places = range(start, start + len(batch))
            database.execute("BEGIN")
            database.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, ?)", zip(places, repeat(1), repeat(1), batch, strict=False)
            )
            database.execute("COMMIT")
        seconds = time.perf_counter() - began
    database.close()
    return LINES / seconds
