"""What Instances does about starts that fail, break down later, or are no longer wanted; no kernel is touched."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from quarterdeck.agent.modules import instances as module
from quarterdeck.agent.modules.instances import RETRY_CAP_S, Instances
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.desired import DesiredInstance, DesiredSet
from quarterdeck.model.errors import BadProgram
from quarterdeck.model.manifests import Manifest
from quarterdeck.model.modules import INSTANCE_TRANSITIONS, Artefact, Build, InstanceState, InstanceStats


class Fake:
    """A running instance, and the list of all that were started."""

    started: list[Fake]
    fail: Callable[[DesiredInstance], Exception | None]
    gate: threading.Event

    attached, dropped, load_ms = ("here",), (), 1.0

    def __init__(self, desired: DesiredInstance, failed: Callable[[Exception], None]) -> None:
        self.desired = desired
        self.failed = failed
        self.stopped = False

    @classmethod
    def start(cls, desired: DesiredInstance, files: Any, workshop: Any, failed: Callable[[Exception], None]) -> Fake:
        cls.gate.wait(10)
        error = cls.fail(desired)
        if error is not None:
            raise error
        cls.started.append(cls(desired, failed))
        return cls.started[-1]

    def stop(self) -> None:
        self.stopped = True

    def stats(self) -> InstanceStats:
        return InstanceStats(instance_id=self.desired.id, rows=5)


class Watch:
    """Sees every status there was."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.news = asyncio.Event()
        self.instances = Instances(
            emit=lambda *_: None,
            lose=lambda _: None,
            artefacts=self._get,
            changed=self._changed,
            config=AgentConfig(),
            jitter=lambda: 1.0,
        )
        self.states: list[InstanceState] = []

    async def _get(self, artefact: Artefact) -> bytes:
        return b""

    def _changed(self) -> None:
        self.states += [status.state for status in self.instances.statuses()]
        self.news.set()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not done():
                self.news.clear()
                await self.news.wait()

    async def want(self, *names: str, digest: str = "1", settings: Any = None) -> None:
        wanted = tuple(
            DesiredInstance(
                id=name,
                module_id=name,
                build=Build(manifest=Manifest(name=name), digest=digest, object=Artefact(name="o", sha256="", size=0)),
                settings=settings or {},
            )
            for name in names
        )
        await self.instances.apply(DesiredSet(revision=7, instances=wanted))

    def state(self, name: str) -> InstanceState | None:
        return next((each.state for each in self.instances.statuses() if each.instance_id == name), None)


@pytest.fixture
async def watch(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    Fake.started, Fake.fail, Fake.gate = [], lambda desired: None, threading.Event()
    Fake.gate.set()
    monkeypatch.setattr(module, "RunningInstance", Fake)
    monkeypatch.setattr(Instances, "_open_workshop", lambda self: object())
    made = Watch()

    async def sleep(seconds: float) -> None:
        made.pauses.append(seconds)
        await real_sleep(0)

    real_sleep = asyncio.sleep
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    yield made
    Fake.gate.set()
    await made.instances.close()
    assert all(each.stopped for each in Fake.started)


async def test_failures_are_retried_with_growing_pauses_and_legal_states(watch: Watch) -> None:
    left = [BadProgram("no such thing", lines=("line 1", "line 2"))] * 9
    Fake.fail = lambda desired: left.pop() if left else None
    await watch.want("a")
    await watch.until(lambda: watch.state("a") is InstanceState.SUCCEEDED)
    assert watch.pauses == [1, 2, 4, 8, 16, 32, RETRY_CAP_S, RETRY_CAP_S, RETRY_CAP_S]
    for before, after in zip(watch.states, watch.states[1:], strict=False):
        INSTANCE_TRANSITIONS.check(before, after)
    assert set(watch.states) == set(InstanceState)
    (status,) = watch.instances.statuses()
    assert (status.reason, status.log, status.attached, status.attempt) == ("", (), ("here",), 10)


async def test_retries_never_end(watch: Watch) -> None:
    Fake.fail = lambda desired: BadProgram("no such thing")
    await watch.want("a")
    await watch.until(lambda: len(watch.pauses) > 1100)  # a pause that doubles has left the range of floats by then
    assert max(watch.pauses) == RETRY_CAP_S


async def test_a_failure_says_why(watch: Watch) -> None:
    Fake.fail = lambda desired: BadProgram("no such thing.", hint="Do this.", lines=("line 1",))
    await watch.want("a")
    await watch.until(lambda: watch.state("a") is InstanceState.FAILED)
    (status,) = watch.instances.statuses()
    assert (status.reason, status.log, status.revision) == ("no such thing. Do this.", ("line 1",), 7)


async def test_one_that_breaks_down_is_stopped_and_started_again(watch: Watch) -> None:
    await watch.want("a", "b")
    await watch.until(lambda: len(Fake.started) == 2 and watch.state("a") is InstanceState.SUCCEEDED)
    broken = next(each for each in Fake.started if each.desired.id == "a")
    await asyncio.to_thread(broken.failed, ValueError("broke"))
    await watch.until(lambda: InstanceState.FAILED in watch.states)
    await watch.until(lambda: len(Fake.started) == 3 and watch.state("a") is InstanceState.SUCCEEDED)
    assert broken.stopped
    assert watch.state("b") is InstanceState.SUCCEEDED
    assert {each.instance_id for each in watch.instances.stats()} == {"a", "b"}


async def test_changes_restart_and_the_rest_stays(watch: Watch) -> None:
    await watch.want("a", "b")
    await watch.until(lambda: len(Fake.started) == 2)
    await watch.want("a", "b", settings={"x": 1})
    await watch.until(lambda: len(Fake.started) == 4)
    await watch.want("a", "b", settings={"x": 1})
    await watch.want("a", "b", settings={"x": 1}, digest="2")
    await watch.until(lambda: len(Fake.started) == 6)
    assert [each.stopped for each in Fake.started] == [True] * 4 + [False] * 2


async def test_one_that_is_being_started_when_it_is_no_longer_wanted_is_taken_down(watch: Watch) -> None:
    Fake.gate.clear()
    await watch.want("a")
    await watch.until(lambda: watch.state("a") is InstanceState.IN_PROGRESS)
    ending = asyncio.ensure_future(watch.want())
    threading.Timer(0.05, Fake.gate.set).start()
    await ending
    assert watch.instances.statuses() == ()
    assert all(each.stopped for each in Fake.started)


async def test_ending_that_is_interrupted_is_taken_up_again(watch: Watch) -> None:
    Fake.gate.clear()
    await watch.want("a")
    await watch.until(lambda: watch.state("a") is InstanceState.IN_PROGRESS)
    interrupted = asyncio.ensure_future(watch.want())
    await asyncio.sleep(0)
    interrupted.cancel()
    await asyncio.gather(interrupted, return_exceptions=True)
    threading.Timer(0.05, Fake.gate.set).start()
    await watch.instances.close()
    assert len(Fake.started) == 1
    assert Fake.started[0].stopped
