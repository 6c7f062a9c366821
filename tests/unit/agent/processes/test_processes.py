"""The process manager against a keeper that the test plays: what is asked of it, and what it is told when."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.keeper.messages import ChildStatus, Event, Exit, Exited, OutputChunk
from quarterdeck.agent.keeper.start import Start, StartRefused, User
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.agent.processes.environment import Environment, Templates
from quarterdeck.agent.processes.measuring import Measuring
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.processes.supervised_process import Process, SupervisedProcess
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.agent.processes.unclaimed import Fate, all_but
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.errors import NotInstalled, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import JobState
from quarterdeck.model.messages import MessageFilter
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.processes import ProcessSettings, UsualSettings
from tests.support import until


class FakeKeeper:
    """Does what the test says. `away`: why it cannot be reached; `refuses`: why it starts nothing."""

    def __init__(self, *children: ChildStatus) -> None:
        self.pid, self.since = 0, 100.0
        self.children = children
        self.away: QuarterdeckError | None = None
        self.refuses: Exception | None = None
        self.starts: list[Start] = []
        self.kills: list[str] = []
        self.acks: dict[str, int] = {}
        self.lets = asyncio.Event()  #: programs start
        self.lets.set()
        self._events: list[Event] = []
        self._news = asyncio.Event()

    async def connect(self) -> tuple[ChildStatus, ...]:
        if self.away is not None:
            raise self.away
        self.pid = 1
        return self.children

    async def start(self, start: Start, *, started: Callable[[ChildStatus], None]) -> ChildStatus:
        await self.connect()
        if self.refuses is not None:
            raise self.refuses
        self.starts.append(start)
        await self.lets.wait()
        child = ChildStatus(id=start.id, pid=100 + len(self.starts), began=time.time(), since=time.monotonic())
        started(child)
        return child

    async def kill(self, child_id: str, *, grace_s: float) -> None:
        self.kills.append(child_id)

    async def acknowledge(self, seqs: Mapping[str, int]) -> None:
        self.acks |= seqs

    async def events(self) -> list[Event]:
        await self.connect()
        await self._news.wait()
        self._news.clear()
        events, self._events = self._events, []
        return events

    async def stop(self) -> None: ...

    async def close(self) -> None: ...

    def tell(self, *events: Event) -> None:
        self._events += events
        self._news.set()


def _nothing(*_: object) -> None:
    """Messages are not forwarded, samples go nowhere."""


class Rig:
    """A manager, its keeper and its log."""

    def __init__(self, home: Path, keeper: FakeKeeper) -> None:
        self.keeper = keeper
        self.messages = MessageLog(home / "messages", outlet=Outlet(emit=_nothing, lose=_nothing))
        cgroups = Cgroups({}, reason="the test wants none")
        who = AgentIdentity(agent_id="a", gid=1, nid=1, serial="1")
        self.processes = Processes(
            home / "processes",
            messages=self.messages,
            environment=Environment(Templates(home), who=lambda: who, node="here"),
            measuring=Measuring(cgroups, feed=_nothing),
            cgroups=cgroups,
            usual=UsualSettings(),
            keeper=cast("KeeperClient", keeper),
            retry_s=0.001,
        )
        self.tasks = [asyncio.create_task(self.messages.keep()), asyncio.create_task(self.processes.run())]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.processes.close()
        await self.messages.close()

    def keep(self, process_id: str, **settings: object) -> SupervisedProcess:
        given = ProcessSettings(**settings)  # type: ignore[arg-type]
        return self.processes.keep(Process(id=process_id, argv=("true",), settings=given))

    async def printed(self, process_id: str) -> list[str]:
        page = await self.messages.select(MessageFilter(job_id=process_id))
        return [message.data for message in page.messages]


@pytest.fixture
async def keeper() -> FakeKeeper:
    return FakeKeeper()


@pytest.fixture
async def rig(tmp_path: Path, keeper: FakeKeeper) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path, keeper)
    yield rig
    await rig.close()


@pytest.fixture
async def later(tmp_path: Path, keeper: FakeKeeper) -> AsyncIterator[Rig]:
    """A manager that finds traces of an earlier life, in which the keeper had started `a` and `b`; `b` has ended."""
    keeper.children = (
        ChildStatus(id="a", pid=7, began=time.time(), since=time.monotonic()),
        ChildStatus(id="b", pid=8, began=time.time(), since=time.monotonic(), exit=Exit(code=3, ended=time.time())),
    )
    trace = tmp_path / "processes" / "children" / "1"
    await asyncio.to_thread(trace.parent.mkdir, parents=True)
    await asyncio.to_thread(trace.touch)
    rig = Rig(tmp_path, keeper)
    yield rig
    await rig.close()


def printed(process_id: str, seq: int, text: bytes) -> OutputChunk:
    return OutputChunk(id=process_id, seq=seq, stream=1, offset=0, data=text)


def ended(process_id: str, seq: int, code: int = 0) -> Exited:
    return Exited(id=process_id, seq=seq, code=code, ended=time.time())


async def test_an_exit_is_acknowledged_when_it_is_released_and_output_when_it_is_stored(rig: Rig) -> None:
    kept = rig.keep("a")
    await until(lambda: kept.pid is not None)
    rig.keeper.tell(printed("a", 1, b"hello\n"))
    await until(lambda: rig.keeper.acks == {"a": 1})
    assert await rig.printed("a") == ["hello"]
    rig.keeper.tell(ended("a", 2, code=4))
    over = await kept.over()
    assert (over.state, over.code, over.streams[0]) == (JobState.ERROR, 4, "hello\n")
    await rig.messages.flush()
    assert rig.keeper.acks == {"a": 1}, "its result is not safe yet"
    rig.processes.release("a")
    await until(lambda: rig.keeper.acks == {"a": 2})


async def test_a_start_that_is_refused_is_a_failed_run(rig: Rig) -> None:
    rig.keeper.refuses = StartRefused("There is no program 'true'.", hint="Install it.")
    once, tried = rig.keep("once"), rig.keep("tried", max_restart=1)
    over = await once.over()
    assert (over.state, over.code, over.reason) == (JobState.ERROR, None, "There is no program 'true'. Install it.")
    assert "failed 2 times" in (await tried.over()).critical
    lasting = await rig.keep("lasting", max_time=-1).over()
    assert lasting.critical == f"It is not started again: it failed once: {over.reason}"
    assert once.problem == over.reason


async def test_an_internal_error_of_a_start_is_logged_with_its_traceback(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.keeper.refuses = ValueError("broken")
    over = await rig.keep("once").over()
    assert (over.state, over.reason) == (JobState.ERROR, "Internal error: ValueError: broken.")
    (record,) = (record for record in caplog.records if record.name.endswith("processes.launcher"))
    assert record.exc_info is not None
    assert record.exc_info[1] is rig.keeper.refuses
    assert "'once'" in record.getMessage()


async def test_an_error_of_the_system_at_a_start_is_told_without_a_traceback(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.keeper.refuses = OSError(24, "Too many open files")
    over = await rig.keep("once").over()
    assert over.reason == "The program cannot be started: [Errno 24] Too many open files."
    assert not [record for record in caplog.records if record.exc_info]


async def test_what_runs_is_taken_up_and_what_has_ended_is_told(later: Rig) -> None:
    assert await later.processes.has("a")
    runs, over = later.keep("a"), later.keep("b")
    assert (runs.pid, later.keeper.starts) == (7, [])
    later.keeper.tell(printed("b", 1, b"last words\n"), ended("b", 2, code=3))
    assert (await over.over()).streams[0] == "last words\n"
    assert not await later.processes.has("a")


async def test_what_is_told_before_somebody_claims_it_waits(later: Rig) -> None:
    await later.processes.ready()
    later.keeper.tell(printed("b", 1, b"early\n"), ended("b", 2))
    await asyncio.sleep(0)
    assert (await later.keep("b").over()).streams[0] == "early\n"


async def test_a_job_was_never_begun_if_the_keeper_was_there_and_has_it_not(later: Rig) -> None:
    later.keeper.since = 100.0
    assert await later.processes.never_had("c", 101.0)
    assert not await later.processes.never_had("c", 99.0), "another keeper may have had it"
    assert not await later.processes.never_had("a", 101.0)
    later.keep("a")
    later.keeper.since = 200.0
    assert not await later.processes.never_had("c", 101.0), "that keeper is gone"


async def test_nothing_is_known_of_a_keeper_that_is_not_there(rig: Rig) -> None:
    rig.keeper.since = float("inf")
    assert not await rig.processes.never_had("c", 101.0)


async def test_what_nobody_wants_is_ended_stored_and_acknowledged(later: Rig) -> None:
    later.processes.judge_jobs(all_but({"b"}))
    await until(lambda: later.keeper.kills == ["a"])
    later.keeper.tell(printed("a", 1, b"bye\n"), ended("a", 2, code=-15))
    await until(lambda: later.keeper.acks.get("a") == 2)
    assert await later.printed("a") == ["bye"]
    assert later.processes.get("a") is None
    assert await later.processes.has("b")


async def nothing_is_known(ids: Sequence[str]) -> dict[str, Fate]:
    return dict.fromkeys(ids, Fate.UNKNOWN)


async def test_what_nothing_is_known_of_goes_on_and_says_so_until_it_is_ended(later: Rig) -> None:
    later.processes.judge_jobs(nothing_is_known)
    await until(lambda: later.processes.get("a") is not None)
    later.keeper.tell(printed("a", 1, b"hello\n"))
    await until(lambda: later.keeper.acks.get("a") == 1)
    note, hello = await later.printed("a")
    assert "no record of its job" in note
    assert hello == "hello"
    assert later.keeper.kills == []
    assert await later.processes.has("a")
    assert not later.processes.end_unknown("c", "ended by request")
    assert later.processes.end_unknown("a", "ended by request")
    await until(lambda: later.keeper.kills == ["a"])
    later.keeper.tell(ended("a", 2, code=-15))
    ended_ = await later.keep("a").over()
    assert (ended_.state, ended_.reason) == (JobState.KILLED, "It was ended by request.")


async def test_what_went_on_unknown_is_taken_up_with_what_it_printed(later: Rig) -> None:
    later.processes.judge_jobs(nothing_is_known)
    await until(lambda: later.processes.get("a") is not None)
    later.keeper.tell(printed("a", 1, b"before\n"))
    await until(lambda: later.keeper.acks.get("a") == 1)
    kept = later.keep("a", name="known")
    later.keeper.tell(printed("a", 2, b"after\n"), ended("a", 3, code=3))
    over = await kept.over()
    assert (over.state, over.code, over.streams[0]) == (JobState.ERROR, 3, "before\nafter\n")
    assert later.keeper.kills == []


@pytest.mark.parametrize(("settings", "starts"), [({}, 0), ({"max_restart": 2}, 1)])
async def test_what_ended_unknown_goes_on_by_its_rules_when_they_are_known(
    later: Rig, settings: dict[str, int], starts: int
) -> None:
    later.processes.judge_jobs(nothing_is_known)
    await until(lambda: later.processes.get("a") is not None)
    stray = later.processes.get("a")
    assert stray is not None
    later.keeper.tell(ended("a", 1, code=3))
    await stray.over()
    assert "a" not in later.keeper.acks, "somebody may want to know how it ended"
    kept = later.keep("a", **settings)
    await until(lambda: len(later.keeper.starts) == starts)
    assert starts or (await kept.over()).code == 3


async def test_one_that_runs_is_ended_when_it_is_released(rig: Rig) -> None:
    kept = rig.keep("a")
    await until(lambda: kept.pid is not None)
    rig.processes.release("a")
    await until(lambda: rig.keeper.kills == ["a"])
    rig.keeper.tell(ended("a", 1, code=-15))
    await until(lambda: rig.keeper.acks == {"a": 1})
    assert rig.processes.get("a") is None


async def test_one_that_is_told_to_end_before_it_starts_never_does(rig: Rig) -> None:
    kept = rig.keep("a")
    kept.tell(Ending.KILLED)
    assert (await kept.over()).state is JobState.KILLED
    assert rig.keeper.starts == []


async def test_killall_ends_all_and_what_lasts_starts_again_under_the_same_id(rig: Rig) -> None:
    once, lasting = rig.keep("once"), rig.keep("lasting", max_time=-1)
    await until(lambda: len(rig.processes.running()) == 2)
    assert rig.processes.killall() == 2
    await until(lambda: sorted(rig.keeper.kills) == ["lasting", "once"])
    rig.keeper.tell(ended("once", 1, code=-15), ended("lasting", 1, code=-15))
    assert (await once.over()).state is JobState.KILLED
    await until(lambda: lasting.runs == 2 and lasting.pid is not None)
    assert rig.keeper.acks["lasting"] == 1, "an id is free when its exit is acknowledged"
    assert [start.id for start in rig.keeper.starts].count("lasting") == 2


async def test_one_that_is_told_to_end_while_it_starts_is_ended_when_it_runs(rig: Rig) -> None:
    rig.keeper.lets.clear()
    kept = rig.keep("a")
    await until(lambda: rig.keeper.starts)
    kept.tell(Ending.KILLED)
    assert rig.keeper.kills == []
    rig.keeper.lets.set()
    await until(lambda: rig.keeper.kills == ["a"])
    rig.keeper.tell(ended("a", 1, code=-9))
    assert (await kept.over()).state is JobState.KILLED


async def test_a_keeper_that_goes_away_is_asked_again(keeper: FakeKeeper, tmp_path: Path) -> None:
    keeper.away = Unavailable("It does not answer.")
    rig = Rig(tmp_path, keeper)
    kept = rig.keep("a")
    await asyncio.sleep(0.01)
    assert kept.pid is None
    keeper.away = None
    await until(lambda: kept.pid is not None)
    keeper.tell(ended("a", 1))
    assert (await kept.over()).state is JobState.OK
    await rig.close()


async def test_where_there_can_be_no_keeper_each_start_says_so(rig: Rig) -> None:
    rig.keeper.away = NotInstalled("There is no keeper on this system.")
    for _ in range(2):
        over = await rig.keep("a").over()
        assert (over.state, over.reason) == (JobState.ERROR, "There is no keeper on this system.")
        rig.processes.release("a")


async def test_a_directory_of_users_that_is_slow_holds_up_its_own_process_only(
    rig: Rig, keeper: FakeKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(_name: str) -> User:
        asked.set()
        answer.wait()
        return User(uid=1, gid=1)

    monkeypatch.setattr(User, "named", slow)
    kept = rig.keep("a", user="somebody")
    await until(asked.is_set)
    rig.keep("b")
    await until(lambda: [start.id for start in keeper.starts] == ["b"])
    kept.tell(Ending.KILLED)
    answer.set()
    await until(lambda: keeper.kills)
    assert [start.id for start in keeper.starts] == ["b", "a"]
    assert keeper.kills == ["a"]
