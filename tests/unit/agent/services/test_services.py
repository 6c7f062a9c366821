"""Whatever is declared, ends or is asked for, in any order: what is wanted runs in its order, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import logging
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.agent.keeper.messages import ChildStatus, Exited
from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.processes.supervised_process import Process, SupervisedProcess
from quarterdeck.agent.processes.unclaimed import Judge
from quarterdeck.agent.services.service_runner import ServiceRunner
from quarterdeck.agent.services.services import Services
from quarterdeck.model.messages import Level
from quarterdeck.model.processes import UsualSettings
from quarterdeck.model.services import DesiredService, Service, ServiceState
from tests.fast_loop import FastLoop

#: each may come after those before it
NAMES = ("a", "b", "c", "d")
Step = tuple[str, object]
#: of the clock by which services come up and are started again
SPEED = 1000
#: by that clock, until everything is as it will be
SETTLED_S = 20.0 * SPEED


class FakeProcesses:
    """Starts and ends at once, in the loop's next turn; says which it started while another was not there."""

    usual = UsualSettings()

    def __init__(self) -> None:
        self.kept: dict[str, SupervisedProcess] = {}
        self.started: list[str] = []
        self.watch: Callable[[str], None] = lambda _: None
        self._numbers = itertools.count(1)

    def keep(self, process: Process, *, changed: Callable[[], None] = lambda: None) -> SupervisedProcess:
        assert process.id not in self.kept
        self.watch(process.id)
        kept = self.kept[process.id] = SupervisedProcess(process, launcher=self, changed=changed)
        self.started.append(process.id)
        kept.begin()
        return kept

    def release(self, process_id: str) -> None:
        kept = self.kept.pop(process_id)
        kept.stop()
        assert kept.pid is None

    async def has(self, _: str) -> bool:
        await asyncio.sleep(0)
        return False

    def judge_services(self, judge: Judge) -> None:
        assert judge

    def launch(self, process: SupervisedProcess) -> None:
        number = next(self._numbers)
        child = ChildStatus(id=process.id, pid=number, began=float(number))
        asyncio.get_running_loop().call_soon(partial(process.running, child, process.run))

    def end(self, process: SupervisedProcess) -> None:
        asyncio.get_running_loop().call_soon(self.exit, process.id, -15)

    def note(self, process: SupervisedProcess, level: Level, text: str) -> None:
        pass

    def exit(self, process_id: str, code: int) -> None:
        kept = self.kept.get(process_id)
        if kept is not None and kept.pid is not None:
            kept.exited(Exited(id=process_id, seq=1, code=code, ended=0.0))


def service(name: str, version: int, after: Sequence[str], *, once: bool) -> Service:
    return Service(
        name=name, command=("x", str(version)), after=tuple(after), max_time=0 if once else -1, max_restart=2
    )


@st.composite
def sets(draw: st.DrawFn) -> tuple[Service, ...]:
    chosen = [name for name in NAMES if draw(st.booleans())]
    return tuple(
        service(
            name,
            draw(st.integers(0, 1)),
            draw(st.lists(st.sampled_from(NAMES[:place]), max_size=2)) if (place := NAMES.index(name)) else (),
            once=draw(st.integers(0, 4)) == 0,
        )
        for name in chosen
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), sets()),
        st.tuples(st.just("exit"), st.tuples(st.sampled_from(NAMES), st.sampled_from([0, 1]))),
        st.tuples(st.just("restart"), st.sampled_from(NAMES)),
        st.tuples(st.just("turn"), st.integers(1, 20)),
    ),
    max_size=30,
)


async def play(steps: list[Step], home: Path) -> None:
    processes, said = FakeProcesses(), list[str]()
    services = Services(
        home,
        processes=cast("Processes", processes),
        templates=Templates(home),
        allow=("*",),
        changed=lambda: None,
    )
    wanted: dict[str, Service] = {}
    runners = cast("dict[str, ServiceRunner]", vars(services)["_runners"])

    def started(process_id: str) -> None:
        name = process_id.removeprefix("service/")
        said.extend(
            f"{name} before {other}"
            for other in wanted[name].after
            if other in wanted and not runners[other].has_come_up
        )

    processes.watch = started
    restarts: list[asyncio.Task[object]] = []
    for number, (step, argument) in enumerate(steps, 1):
        match step:
            case "apply":
                given = cast("tuple[Service, ...]", argument)
                wanted = {each.name: each for each in given}
                await services.apply([*map(DesiredService.of, given)], revision=number)
            case "exit":
                name, code = cast("tuple[str, int]", argument)
                processes.exit(f"service/{name}", code)
            case "restart" if argument in wanted:
                restarts.append(asyncio.create_task(services.restart(cast("str", argument))))
            case _:
                for _ in range(argument if isinstance(argument, int) else 1):
                    await asyncio.sleep(0)
    await settled(services, processes, wanted)
    async with asyncio.timeout(SETTLED_S):
        await asyncio.gather(*restarts, return_exceptions=True)
    await settled(services, processes, wanted)
    assert not said
    statuses = {status.name: status for status in services.statuses()}
    assert statuses.keys() == wanted.keys()
    for name, status in statuses.items():
        assert (status.pid is not None) == (f"service/{name}" in processes.kept)
        assert status.version == wanted[name].version or status.state is ServiceState.WAITING
    await services.apply((), revision=99)
    await settled(services, processes, {})
    assert services.statuses() == ()
    assert processes.kept == {}
    await services.close()


async def settled(services: Services, processes: FakeProcesses, wanted: dict[str, Service]) -> None:
    """Everything is what it will be: programs that run to their end end, and what may start has started."""
    deadline = asyncio.get_running_loop().time() + SETTLED_S
    while asyncio.get_running_loop().time() < deadline:
        for name, each in wanted.items():
            if each.max_time == 0:
                processes.exit(f"service/{name}", 0)
        statuses = {status.name: status for status in services.statuses()}
        states = {name: status.state for name, status in statuses.items()}
        if statuses.keys() == wanted.keys() and all(
            (
                status.state in {ServiceState.RUNNING, ServiceState.STOPPED, ServiceState.FAILED}
                and status.version == wanted[name].version
            )
            or (status.state is ServiceState.WAITING and any(_failed(states, each) for each in wanted[name].after))
            for name, status in statuses.items()
        ):
            return
        await asyncio.sleep(0.001 * SPEED)
    raise AssertionError(f"it did not settle: {services.statuses()}")


def _failed(statuses: dict[str, ServiceState], name: str) -> bool:
    return statuses.get(name) in {ServiceState.FAILED, ServiceState.WAITING}


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_what_is_wanted_runs_in_its_order_and_nothing_else(steps: list[Step]) -> None:
    faults: list[logging.LogRecord] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = faults.append  # type: ignore[method-assign]
    logger = logging.getLogger("quarterdeck.agent.services")
    logger.addHandler(handler)
    try:
        fast = partial(FastLoop, SPEED)
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=fast) as runner:
            runner.run(play(steps, Path(folder)))
    finally:
        logger.removeHandler(handler)
    assert not faults, [record.getMessage() for record in faults]
