"""A server's ingest as a process that can be killed: agents send until it ends, and note down what was acknowledged.

Called as `python -m tests.faults.ingest_process FOLDER LAST`: with LAST below 0 it goes on for ever, otherwise until
batch LAST of every agent is acknowledged. Batch n of an agent has the process ids n * ROWS and following.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import numpy as np

from quarterdeck.columns.arrow import encode
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import strings
from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.ingest.inserts import Inserts
from quarterdeck.server.signals import LocalSignals
from quarterdeck.server.tables import Tables
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.ingest import IngestJournal
from quarterdeck.store.telemetry.clickhouse import open_store
from tests.telemetry import EXECS, agent

AGENTS = 4
ROWS = 100
OLD_ROWS = 7  # of every third batch: older than the retention
LOST_ROWS = 11  # said by every second batch
WINDOW = 8  # batches of an agent on their way at the same time


def acknowledged(folder: Path, nid: int) -> set[int]:
    """The batches whose acknowledgement reached the agent."""
    file = folder / f"acks-{nid}"
    return {int(line) for line in file.read_text().splitlines()} if file.exists() else set()


def made(seq: int, floor: int) -> TelemetryBatch:
    """Batch `seq`: always the same rows, as an outbox would send it again."""
    times = np.full(ROWS, time.time_ns())
    if seq % 3 == 0:
        times[:OLD_ROWS] -= 30 * 86_400 * 10**9
    pids = np.arange(seq * ROWS, (seq + 1) * ROWS, dtype=np.uint32)
    values = {"time": times, "pid": pids, "comm": strings(["sh"] * ROWS), "took": np.zeros(ROWS, np.int64)}
    losses = (Loss(table="execs", reason=LossReason.RING_FULL, rows=LOST_ROWS),) if seq % 2 == 0 else ()
    return TelemetryBatch(
        epoch="e",
        seq=seq,
        floor=floor,
        table="execs",
        fingerprint=EXECS.fingerprint,
        rows=ROWS,
        body=encode(Batch(EXECS, values, ROWS)),
        losses=losses,
    )


async def send(ingest: Ingest, folder: Path, nid: int, last: int) -> None:
    """One agent: batches in order, a window of them at a time."""
    done = acknowledged(folder, nid)
    floor = next(seq for seq in range(len(done) + 1) if seq not in done)
    with (folder / f"acks-{nid}").open("a", buffering=1) as acks:

        async def one(seq: int) -> None:
            await ingest.accept(from_agent(agent(nid), made(seq, floor)))
            acks.write(f"{seq}\n")
            done.add(seq)

        while last < 0 or floor <= last:
            await asyncio.gather(*(one(seq) for seq in range(floor, floor + WINDOW) if seq not in done))
            floor += WINDOW


async def main(folder: Path, last: int) -> None:
    store = open_store(path=folder / "chdb")
    database = await Database.open(f"sqlite:///{folder / 'state.db'}")
    journal = IngestJournal(database)
    tables = Tables(store, journal)
    await tables.start()
    await tables.ensure(EXECS)
    ingest = Ingest(Inserts(store, journal), tables, signals=LocalSignals(), interval_s=0.01)
    await ingest.start()
    print("ready", flush=True)
    await asyncio.gather(*(send(ingest, folder, nid, last) for nid in range(AGENTS)))
    await ingest.stop()
    await database.close()
    store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
