"""The ledger against a model: everything confirmed survives a crash, and nothing is incomplete."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from quarterdeck.agent.jobs.ledger import Ledger
from quarterdeck.agent.jobs.records import ID_KEPT_S, RESULT_KEPT_S, Record, RecordFile, Stage
from quarterdeck.model.jobs import JobOffer, JobResult, JobState

T = TypeVar("T")


def taken(id_: str, stage: Stage = Stage.TAKEN) -> Record:
    return Record(offer=JobOffer(id=id_, cmd="ping", args={"queue": "q"}, data="input"), stage=stage)


def done(id_: str, state: JobState = JobState.OK, data: str = "output") -> Record:
    result = JobResult(id=id_, cmd="ping", state=state, data=data)
    return Record(offer=JobOffer(id=id_, cmd="ping"), stage=Stage.DONE, result=result)


class LedgerMachine(RuleBasedStateMachine):
    """`taken → running → done → stored` of many jobs, with a crash between any two steps, or in the midst of one."""

    waiting = Bundle("waiting")
    running = Bundle("running")
    finished = Bundle("finished")

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.lives = 0
        self.path = self.folder / "0" / "jobs.db"
        self.ledger = Ledger(self.path)
        self.model: dict[str, Record] = {}  # in order
        self.stored_by_model: set[str] = set()
        self.run(self.ledger.open())

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    def put(self, *put: Record) -> None:
        self.run(self.ledger.put(put))
        self.model |= {record.offer.id: record for record in put}

    @rule(target=waiting, count=st.integers(1, 3))
    def take(self, count: int) -> Any:
        ids = [f"job-{len(self.model) + len(self.stored_by_model) + number}" for number in range(count)]
        self.put(*map(taken, ids))
        return ids[0]

    @rule(target=running, id_=consumes(waiting))
    def begin(self, id_: str) -> str:
        self.put(taken(id_, Stage.RUNNING))
        return id_

    @rule(target=finished, id_=consumes(running), state=st.sampled_from([JobState.OK, JobState.KILLED]))
    def finish(self, id_: str, state: JobState) -> str:
        self.put(done(id_, state))
        return id_

    @rule(id_=finished)
    def stored(self, id_: str) -> None:
        self.run(self.ledger.stored([id_]))
        if id_ in self.model:
            self.stored_by_model.add(id_)
            del self.model[id_]

    @rule(id_=finished)
    def a_repeat_is_answered_though_the_server_has_it(self, id_: str) -> None:
        record = self.run(self.ledger.find([id_]))[id_]
        assert record.result is not None
        assert (record.stage is Stage.STORED) == (id_ in self.stored_by_model)

    @rule()
    def crash(self) -> None:
        """Return the files as a kill leaves them, while the ledger still has them open."""
        self._reopen()
        assert self.found == list(self.model.values())

    @rule()
    def crash_while_writing(self) -> None:
        id_ = f"torn-{self.lives}"
        write = self.loop.create_task(self.ledger.put([taken(id_), taken(f"{id_}-too")]))
        self.run(asyncio.sleep(0))
        self._reopen(unfinished=write)
        there = {record.offer.id for record in self.found} - set(self.model)
        assert there in (set(), {id_, f"{id_}-too"}), "both or none"
        self.model |= {record.offer.id: record for record in self.found}

    def _reopen(self, unfinished: asyncio.Task[None] | None = None) -> None:
        self.lives += 1
        path = self.folder / str(self.lives) / "jobs.db"
        shutil.copytree(self.path.parent, path.parent)
        if unfinished is not None:
            self.run(unfinished)
        self.run(self.ledger.close())
        self.path, self.ledger = path, Ledger(path)
        self.found = list(self.run(self.ledger.open()))

    @invariant()
    def results_wait_until_stored(self) -> None:
        assert [r.id for r in self.ledger.unsent()] == [id_ for id_, record in self.model.items() if record.result]

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.run(self.ledger.close())
            self.loop.close()
            shutil.rmtree(self.folder)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


async def test_what_arrives_together_is_one_transaction(tmp_path: Path, monkeypatch: Any) -> None:
    writes: list[int] = []
    write = RecordFile.write

    def counted(self: RecordFile, put: Any, stored: Any = (), *, now: float = 0.0) -> None:
        put = list(put)
        writes.append(len(put))
        write(self, put, stored, now=now)

    monkeypatch.setattr(RecordFile, "write", counted)
    ledger = Ledger(tmp_path / "jobs.db")
    await ledger.open()
    await asyncio.gather(*(ledger.put([taken(f"job-{number}")]) for number in range(50)))
    assert writes in ([1, 49], [50])
    await ledger.close()


async def test_a_caller_that_gives_up_does_not_undo_the_write(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "jobs.db")
    await ledger.open()
    writing = asyncio.create_task(ledger.put([taken("a")]))
    await asyncio.sleep(0)
    writing.cancel()
    await ledger.put([taken("b")])
    assert list(await ledger.find(["a", "b", "c"])) == ["a", "b"]
    await ledger.close()


async def test_it_says_when_the_server_has_a_result(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "jobs.db")
    await ledger.open()
    await ledger.put([done("a")])
    settled = asyncio.create_task(ledger.settled("a"))
    await asyncio.sleep(0)
    await ledger.stored(["a", "never heard of"])
    await settled
    assert ledger.unsent() == ()
    await ledger.close()


def test_results_are_forgotten_before_ids_and_ids_are_bounded(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "jobs.db", ids_kept=3)
    file.write([taken("waits"), done("unsent"), *(done(f"job-{number}") for number in range(5))])
    for number in range(5):
        file.write([], [f"job-{number}"], now=1000.0 + number)
    later = 1003.5 + RESULT_KEPT_S
    file.forget(later)
    known = file.find([f"job-{number}" for number in range(5)])
    assert list(known) == ["job-2", "job-3", "job-4"], "the newest three"
    stripped, whole = known["job-2"].result, known["job-4"].result
    assert stripped is not None
    assert (stripped.state, stripped.data) == (JobState.OK, "")
    assert "no longer keeps" in stripped.reason
    assert whole is not None
    assert whole.data == "output"
    file.forget(2000.0 + ID_KEPT_S)
    assert [record.offer.id for record in file.live()] == ["waits", "unsent"], (
        "what the server lacks is never forgotten"
    )
    assert not file.find(["job-4"])
    file.close()


async def test_what_cannot_be_written_is_nobodys_fault_but_its_own(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "jobs.db")
    await ledger.open()
    spoilt = done("spoilt", data="\ud800")  # it cannot be encoded
    outcomes = await asyncio.gather(
        *(ledger.put((record,)) for record in (done("a"), spoilt, done("b"))), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), UnicodeEncodeError, type(None)]
    assert [result.id for result in ledger.unsent()] == ["a", "b"]
    await ledger.close()
