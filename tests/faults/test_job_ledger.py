"""The job ledger under attack: killed, damaged, on a full disk. A job runs once and has one result."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from quarterdeck.agent.commands.command import Command, Outcome
from quarterdeck.agent.jobs.ledger import Ledger
from quarterdeck.agent.jobs.records import SET_ASIDE, Record, RecordFile, Stage
from quarterdeck.agent.jobs.waits import Waits
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.jobs import JobOffer, JobState
from tests.disks import MB
from tests.faults.conftest import MakeDisk
from tests.support import until
from tests.unit.agent.jobs.rig import Gate, Server, node

#: writes jobs, and says of each, on its own line, that it is on disk
WRITER = """
import asyncio, sys
from pathlib import Path
from quarterdeck.agent.jobs.ledger import Ledger
from quarterdeck.agent.jobs.records import Record, Stage
from quarterdeck.model.jobs import JobOffer

async def main():
    ledger = Ledger(Path(sys.argv[1]))
    await ledger.open()
    async def write(number):
        for step in range(10_000):
            id_ = f"{number}-{step}"
            await ledger.put([Record(offer=JobOffer(id=id_, cmd="ping", data="x" * 500), stage=Stage.TAKEN)])
            print(id_, flush=True)
    await asyncio.gather(*(write(number) for number in range(8)))

asyncio.run(main())
"""


QUICK = Waits(retry_s=0.02)


@pytest.mark.parametrize("lines", [1, 50, 400])
def test_a_record_that_was_acknowledged_survives_a_kill(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "jobs.db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    said = [writer.stdout.readline().strip() for _ in range(lines)]
    writer.send_signal(signal.SIGKILL)
    said += [line.strip() for line in writer.stdout if line.endswith("\n")]
    writer.stdout.close()
    writer.wait()
    file = RecordFile(path)
    there = {record.offer.id for record in file.live()}
    file.close()
    assert set(said) <= there


async def _one_job_done_one_running(home: Path, gate: Gate) -> None:
    async with node(home, {"gate": Command(run=gate.run)}) as server:
        server.offer("done")
        server.offer("runs", cmd="gate")
        await server.result("done")
        await until(lambda: server.started.count("runs"))


@pytest.mark.parametrize("garbage", ["head", "all", "cut"])
async def test_a_damaged_ledger_is_set_aside_and_what_it_knew_is_lost_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, garbage: str
) -> None:
    gate = Gate()
    await _one_job_done_one_running(tmp_path, gate)
    path = tmp_path / "jobs.db"
    content = path.read_bytes()
    noise = random.Random(1).randbytes(len(content))
    path.write_bytes(
        {"head": noise[:100] + content[100:], "all": noise, "cut": content[: len(content) - 5000]}[garbage]
    )
    async with node(tmp_path, {"gate": Command(run=gate.run)}) as server:
        server.offer("runs", cmd="gate", taken=True)
        server.offer("new")
        lost = await server.result("runs")
        assert lost.state is JobState.LOST
        assert "ledger was lost or damaged" in lost.reason
        assert (await server.result("new")).state is JobState.OK
    assert gate.began == ["runs"]
    assert "It is set aside as" in caplog.text
    assert sum(".damaged-" in name for name in os.listdir(tmp_path)) == 1  # noqa: PTH208  (names)


async def test_damage_met_at_work_loses_nothing_that_is_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    ledger = Ledger(path)
    await ledger.open()
    await ledger.put([Record(offer=JobOffer(id="a", cmd="ping"), stage=Stage.TAKEN)])
    ledger._file.close()  # type: ignore[attr-defined]  # so that it meets the damage at its next call
    path.write_bytes(b"no database" * 1000)
    await ledger.put([Record(offer=JobOffer(id="b", cmd="ping"), stage=Stage.RUNNING)])
    await ledger.close()
    again = Ledger(path)
    assert [record.offer.id for record in await again.open()] == ["a", "b"]
    await again.close()


def test_few_damaged_files_are_kept(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "jobs.db")
    for _ in range(SET_ASIDE + 3):
        file.write([])
        file.set_aside()
    assert len(list(tmp_path.glob("jobs.db.damaged-*"))) == SET_ASIDE
    file.close()


async def test_a_record_whose_bytes_rotted_is_lost_and_the_others_are_not(tmp_path: Path) -> None:
    gate = Gate()
    async with node(tmp_path, {"gate": Command(run=gate.run)}) as server:
        server.offer("rotten", "sound", cmd="gate", args={"queue": "q"}, data="rm -r /tmp/a")
        await until(lambda: len(server.taken) == 2)
    with sqlite3.connect(tmp_path / "jobs.db") as database:
        database.execute("UPDATE job SET record = replace(record, '/tmp/a', '/tmp/b') WHERE id = 'rotten'")
    database.close()
    gate.open.set()
    async with node(tmp_path, {"gate": Command(run=gate.run)}) as server:
        lost = await server.result("rotten")
        assert lost.state is JobState.LOST
        assert "damaged" in lost.reason
        assert (await server.result("sound")).data == "rm -r /tmp/a"


async def test_whichever_write_fails_a_job_runs_once_and_has_one_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RecordFile.write
    failing = calls = 0

    def fails(self: RecordFile, put: Iterable[Record], stored: Sequence[str] = (), *, now: float = 0.0) -> None:
        nonlocal calls
        calls += 1
        if failing <= calls < failing + 3:
            raise StorageFull("no space")
        write(self, put, stored, now=now)

    monkeypatch.setattr(RecordFile, "write", fails)
    while failing <= calls:  # until the work is done before the failure comes
        failing, calls, ran = failing + 1, 0, [0]

        async def count(_: JobOffer, ran: list[int] = ran) -> Outcome:
            ran[0] += 1
            return Outcome()

        async with node(tmp_path / str(failing), {"count": Command(run=count)}, waits=QUICK) as server:
            server.offer("first", "second", cmd="count", args={"queue": "q"})
            for id_ in ("first", "second"):
                assert (await server.result(id_)).state is JobState.OK
            server.store("first", "second")
            server.offer("third", cmd="ping")
            await server.result("third")
        assert ran == [2]
        assert sorted(result.id for result in server.results) == ["first", "second", "third"]
    assert failing > 4


async def _nothing_more(server: Server) -> int:
    for _ in range(5):
        await asyncio.sleep(QUICK.retry_s)
    return len(server.heard)


async def test_on_a_full_disk_nothing_is_taken_results_wait_and_then_all_goes_on(
    small_disk: MakeDisk, tmp_path: Path
) -> None:
    disk = small_disk(tmp_path / "disk", 2 * MB)
    gate = Gate()
    async with node(disk.folder / "agent", {"gate": Command(run=gate.run)}, waits=QUICK) as server:
        server.offer("runs", cmd="gate", data="x" * 10_000)
        await until(lambda: server.started)
        with disk.full():
            gate.open.set()
            server.offer("new", "killed", "late", cmd="gate", data="y" * 100_000)
            server.offer("soon over", expires_in_s=0.05, data="z" * 100_000)
            server.kill("killed")
            heard = len(server.heard)
            assert await _nothing_more(server) == heard, "nothing is said that is not on disk"
        states = {id_: (await server.result(id_)).state for id_ in ("runs", "new", "killed", "late", "soon over")}
    assert states.pop("killed") is JobState.KILLED
    assert states.pop("soon over") is JobState.EXPIRED
    assert set(states.values()) == {JobState.OK}
    assert sorted(gate.began) == ["late", "new", "runs"]
