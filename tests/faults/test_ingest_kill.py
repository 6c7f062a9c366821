"""kill -9 of a server while agents send: nothing acknowledged is lost, nothing is stored or counted twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quarterdeck.store.telemetry.clickhouse import open_store
from tests.faults.ingest_process import AGENTS, LOST_ROWS, OLD_ROWS, ROWS, WINDOW, acknowledged
from tests.fleet import eventually

ROUNDS = int(os.environ.get("QD_KILL_ROUNDS", "4"))
REPOSITORY = Path(__file__).parents[2]


def start(folder: Path, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.ingest_process", str(folder), str(last)]
    path = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(tmp_path: Path) -> None:
    choice = random.Random()
    for _ in range(ROUNDS):
        with start(tmp_path, -1) as process:
            eventually(lambda: all(acknowledged(tmp_path, nid) for nid in range(AGENTS)), "acknowledgements of all")
            time.sleep(choice.uniform(0.0, 1.0))
            process.kill()
    acks = [acknowledged(tmp_path, nid) for nid in range(AGENTS)]
    sent = max(max(found) for found in acks) + 2 * WINDOW  # beyond every batch that was on its way
    with start(tmp_path, sent) as process:
        process.communicate()
    assert process.returncode == 0

    batches = [len(acknowledged(tmp_path, nid)) for nid in range(AGENTS)]
    store = open_store(path=tmp_path / "chdb")
    twice = store._rows("SELECT nid, pid, count() FROM quarterdeck.execs GROUP BY nid, pid HAVING count() > 1")
    stored = store._rows("SELECT count(), max(pid) FROM quarterdeck.execs GROUP BY nid ORDER BY nid")
    lost = store._rows("SELECT nid, reason, sum(rows) FROM quarterdeck.losses GROUP BY ALL ORDER BY nid, reason")
    store.close()
    assert twice == []
    old = [OLD_ROWS * len(range(0, count, 3)) for count in batches]
    assert stored == [[count * ROWS - old[nid], count * ROWS - 1] for nid, count in enumerate(batches)]
    assert lost == [
        row
        for nid, count in enumerate(batches)
        for row in ([nid, "ring_full", LOST_ROWS * len(range(0, count, 2))], [nid, "too_old", old[nid]])
    ]
