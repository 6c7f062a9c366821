"""One command to a thousand agents: the time from the call to the last result.

A server runs as a process. In this process are 1,000 simulated agents (`quarterdeck.testing.agents`), each with its own
certificate, TLS connection and streams; they answer every job at once, without a ledger. The Python client asks all of
them for one command and waits, in the same call, until each has its result. The agents share the machine with the
server, and this process the CPU with the client.

The physical limit, in the same run: the same rows (a command, 1,000 jobs, 1,000 results) into a SQLite file, in two
transactions.

Target: all results < 2 s.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import Target, note, process_cpu_s, report
from quarterdeck.client import AsyncClient
from quarterdeck.model.jobs import CreateCommand, JobState
from quarterdeck.model.tokens import CreateJoinToken
from quarterdeck.testing.agents import SimulatedAgents
from tests.fleet import Fleet

AGENTS, ROUNDS = 1_000, 7
DEADLINE_S = 120.0


def main() -> None:
    logging.getLogger("quarterdeck.agent.connection").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder)) as fleet:
        seconds, server_s = asyncio.run(_measure(fleet))
        limit_s = _limit(Path(folder))
    report(
        "fan_out",
        figures={
            "all_results_s": statistics.median(seconds),
            "slowest_s": max(seconds),
            "server_cpu_ms_per_job": 1000 * server_s / (AGENTS * len(seconds)),
        },
        peer={"name": "limit: the same rows into SQLite", "seconds": limit_s},
        ratio=limit_s / statistics.median(seconds),
        targets=(Target("all_results_s", at_most=2),),
    )


async def _measure(fleet: Fleet) -> tuple[list[float], float]:
    tokens = [fleet.client.tokens.create(CreateJoinToken()).token for _ in range(AGENTS)]
    agents = await SimulatedAgents.joined(fleet.link, tokens)
    note(f"{AGENTS} joined")
    async with agents, AsyncClient(fleet.client.endpoint) as client:
        async with asyncio.timeout(DEADLINE_S):
            await agents.all_linked()
        await asyncio.sleep(5)
        await _round(client)
        before_s = process_cpu_s(fleet.server.pid)
        seconds = [await _round(client) for _ in range(ROUNDS)]
        return seconds, process_cpu_s(fleet.server.pid) - before_s


async def _round(client: AsyncClient) -> float:
    began = time.monotonic()
    made = await client.commands.create(CreateCommand(cmd="ping"), wait_s=60)
    done = {job.node_name for job in made.jobs if job.state is JobState.OK}
    seconds = time.monotonic() - began
    note(f"{len(done)} results after {seconds:.2f} s")
    if len(done) != AGENTS:
        raise RuntimeError(f"{len(done)} of {AGENTS} agents answered")
    return seconds


def _limit(folder: Path) -> float:
    """Return the seconds; both steps end with a commit to disk, as the server's do."""
    connection = sqlite3.connect(folder / "limit.db", isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE job (nid PRIMARY KEY, body)"
    )
    body = "x" * 300
    began = time.monotonic()
    for statement in ("INSERT INTO job (nid, body) VALUES (?1, ?2)", "UPDATE job SET body = ?2 WHERE nid = ?1"):
        rows: Iterable[tuple[int, str]] = ((nid, body) for nid in range(AGENTS))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows)
        connection.execute("COMMIT")
    seconds = time.monotonic() - began
    connection.close()
    return seconds
