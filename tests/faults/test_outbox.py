"""The outbox under faults: the agent is killed, the disk is full. Rows arrive or are counted, and it continues."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.agent.outbox import Outbox
from quarterdeck.agent.upkeep import Upkeep
from quarterdeck.link.messages import TelemetryAck
from quarterdeck.model.config import OutboxConfig
from quarterdeck.model.tables import Table
from tests.faults.conftest import MakeDisk
from tests.support import until

KIB = 1024
SMALL = OutboxConfig(memory_bytes=64 * KIB)
TABLE = Table(name="opens", columns=())

PRODUCER = """
    import asyncio, sys
    from pathlib import Path
    from quarterdeck.agent.outbox import Outbox
    from quarterdeck.agent.upkeep import Upkeep
    from quarterdeck.model.config import OutboxConfig
    from quarterdeck.model.tables import Table

    async def main():
        upkeep = Upkeep(tick_s=0.01, spill_after_s=0.02, segment_bytes=4096)
        outbox = Outbox(Path(sys.argv[1]), OutboxConfig(), upkeep=upkeep)
        keeping = asyncio.create_task(outbox.keep())
        while True:
            outbox.put(Table(name="opens", columns=()), 10, b"x" * 1000)
            print(outbox.disk_bytes, flush=True)
            await asyncio.sleep(0.001)

    asyncio.run(main())
"""


async def drain(outbox: Outbox) -> Counter[str]:
    """Return the rows that arrive and the rows that are counted as lost."""
    outbox.opened()
    counts: Counter[str] = Counter()
    while not outbox.empty:
        try:
            async with asyncio.timeout(0.5):
                batch = await outbox.next()
        except TimeoutError:
            continue
        outbox.acknowledge(TelemetryAck(epoch=batch.epoch, seqs=(batch.seq,)))
        counts["arrived"] += batch.rows
        for loss in batch.losses:
            counts[loss.reason] += loss.rows
    return counts


def produce_until_killed(folder: Path, spilled: int) -> int:
    """Kill a producer once it has `spilled` bytes on disk; return the rows in the files it left."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PRODUCER), str(folder)], stdout=subprocess.PIPE, text=True
    ) as producer:
        assert producer.stdout is not None
        for line in producer.stdout:
            if int(line) >= spilled:
                break
        producer.send_signal(signal.SIGKILL)
    return sum(int(path.name.split(".")[4]) for path in folder.glob("*.spill"))


@pytest.mark.parametrize("spilled", [1, 20_000, 100_000])
async def test_what_was_spilled_survives_a_kill(tmp_path: Path, spilled: int) -> None:
    on_disk = await asyncio.to_thread(produce_until_killed, tmp_path, spilled)
    outbox = Outbox(tmp_path, OutboxConfig())
    assert on_disk * 100 >= spilled // 3  # 100 bytes a row; headers take the rest
    assert await drain(outbox) == {"arrived": on_disk}


FULL_BY_LIMIT = """
    import asyncio, json, resource, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from tests.faults import test_outbox

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    print(json.dumps(asyncio.run(test_outbox.fill_and_recover(
        Path(sys.argv[1]), full=lambda: limit(1024), free=lambda: limit(resource.RLIM_INFINITY)))))
"""


async def fill_and_recover(folder: Path, *, full: Callable[[], None], free: Callable[[], None]) -> dict[str, int]:
    """Put rows while the disk is full, then after it was freed; return how many arrived and how many were lost."""
    outbox = Outbox(folder, SMALL, upkeep=Upkeep(tick_s=0.01, disk_retry_s=0.02))
    keeping = asyncio.create_task(outbox.keep())
    full()
    for _ in range(100):
        outbox.put(TABLE, 10, b"x" * KIB)
        await asyncio.sleep(0)
    await until(lambda: outbox._disk_refused)
    assert outbox.memory_bytes <= SMALL.memory_bytes
    free()
    await until(lambda: outbox.disk_bytes > 0)
    for _ in range(10):
        outbox.put(TABLE, 10, b"x" * KIB)
    counts = await drain(outbox)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    return dict(counts)


def test_a_full_disk_costs_only_the_rows_that_find_no_room(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_BY_LIMIT), str(tmp_path), root],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    counts = json.loads(done.stdout)
    assert counts["queue_full"] > 0
    assert counts["arrived"] + counts["queue_full"] == 1100
    assert done.stderr.count("cannot spill to disk") == 1
    assert list(tmp_path.glob("*.new")) == []


async def test_a_full_file_system(small_disk: MakeDisk, tmp_path: Path) -> None:
    disk = small_disk(tmp_path, 256 * KIB)
    counts = await fill_and_recover(disk.folder / "outbox", full=disk.fill, free=disk.clear)
    assert counts["queue_full"] > 0
    assert sum(counts.values()) == 1100
