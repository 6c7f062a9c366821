"""Events of the keeper on their way to their process: whatever goes wrong with its output, its exit arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, cast

import pytest

from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.keeper.messages import Exited, OutputChunk
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.messages.runs import Routing, Run
from quarterdeck.agent.processes.deliveries import Deliveries
from quarterdeck.agent.processes.measuring import Measuring
from quarterdeck.agent.processes.supervised_process import Process, SupervisedProcess
from quarterdeck.model.messages import Level
from quarterdeck.model.processes import ProcessSettings, UsualSettings


class NoLauncher:
    """Nothing is started here."""

    usual = UsualSettings()

    def launch(self, process: SupervisedProcess) -> None: ...

    def end(self, process: SupervisedProcess) -> None: ...

    def note(self, process: SupervisedProcess, level: Level, text: str) -> None: ...


class FakeLog:
    """A message log that cannot store what contains "bad"."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []

    async def put(self, run: Run, routing: Routing, *, reading: bytes | None = b"") -> None:
        await asyncio.sleep(0)
        if b"bad" in run.texts:
            raise ValueError("not understood")
        self.texts += run.texts

    async def written(self) -> None: ...

    def hurry(self) -> None: ...


class FakeKeeper:
    """A keeper that hears acknowledgements."""

    def __init__(self) -> None:
        self.acks: dict[str, int] = {}
        self.heard = asyncio.Event()

    async def acknowledge(self, seqs: Mapping[str, int]) -> None:
        self.acks |= seqs
        self.heard.set()


class Rig:
    """Deliveries between a keeper, a log and processes that the test plays."""

    def __init__(self) -> None:
        self.log, self.keeper = FakeLog(), FakeKeeper()
        self.tasks: list[asyncio.Task[None]] = []
        self.deliveries = Deliveries(
            cast("KeeperClient", self.keeper),
            messages=cast("MessageLog", self.log),
            measuring=cast("Measuring", None),
            oom_kills=lambda _: 0,
            spawn=self._spawn,
        )

    def process(self, process_id: str) -> SupervisedProcess:
        process = Process(id=process_id, argv=("x",), settings=ProcessSettings())
        supervised = SupervisedProcess(process, launcher=NoLauncher())
        supervised.begin()
        return supervised

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))


def printed(seq: int, data: bytes) -> OutputChunk:
    return OutputChunk(id="a", seq=seq, stream=1, offset=0, data=data)


def ended(seq: int) -> Exited:
    return Exited(id="a", seq=seq, code=0, ended=0)


@pytest.mark.parametrize("together", [True, False])
async def test_an_error_costs_neither_the_exit_nor_later_events(
    together: bool, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    process = rig.process("a")
    rig.deliveries.open(process)
    for events in [[printed(1, b"bad\n"), ended(2)]] if together else [[printed(1, b"bad\n")], [ended(2)]]:
        rig.deliveries.take(events)
        await asyncio.sleep(0)
    assert (await process.over()).code == 0
    assert "could not be processed" in caplog.text
    again = rig.process("a")
    rig.deliveries.release("a")
    rig.deliveries.open(again)
    rig.deliveries.take([printed(1, b"good\n"), ended(2)])
    await again.over()
    assert rig.log.texts == [b"good"]
    await asyncio.gather(*rig.tasks)


async def test_events_wait_for_the_process_that_claims_them() -> None:
    rig = Rig()
    rig.deliveries.take([printed(1, b"early\n"), ended(2)])
    await asyncio.sleep(0)
    assert rig.tasks == []
    process = rig.process("a")
    rig.deliveries.open(process)
    await process.over()
    assert rig.log.texts == [b"early"]
    await asyncio.gather(*rig.tasks)


async def test_an_id_is_settled_when_the_exit_of_its_last_run_is_acknowledged() -> None:
    rig = Rig()
    process = rig.process("a")
    rig.deliveries.open(process)
    await rig.deliveries.settle_exit("a")
    rig.deliveries.take([ended(1)])
    await process.over()
    running = asyncio.create_task(rig.deliveries.run())
    settled = asyncio.create_task(rig.deliveries.settle_exit("a"))
    await rig.keeper.heard.wait()
    await settled
    assert rig.keeper.acks == {"a": 1}
    running.cancel()
    await asyncio.gather(running, *rig.tasks, return_exceptions=True)
