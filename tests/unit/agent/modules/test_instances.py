"""Instances after failed starts, later failures, and when they are no longer wanted; no kernel is used."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from quarterdeck.agent.modules import instances as module
from quarterdeck.agent.modules.instances import RETRY, Instances
from quarterdeck.agent.modules.loading import Unsupported
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.errors import BadProgram
from quarterdeck.model.manifests import Manifest
from quarterdeck.model.modules import (
    INSTANCE_TRANSITIONS,
    Artefact,
    Build,
    DesiredInstance,
    InstanceState,
    InstanceStats,
)


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
        self.notice: Callable[[str], None] = lambda _: None

    @classmethod
    def start(
        cls,
        desired: DesiredInstance,
        files: Any,
        shared: Any,
        failed: Callable[[Exception], None],
        notice: Callable[[str], None],
    ) -> Fake:
        cls.gate.wait(10)
        error = cls.fail(desired)
        if error is not None:
            raise error
        cls.started.append(cls(desired, failed))
        cls.started[-1].notice = notice
        return cls.started[-1]

    def stop(self) -> None:
        self.stopped = True

    def stats(self) -> InstanceStats:
        return InstanceStats(instance_id=self.desired.id, rows=5)


class Watch:
    """Records every status."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.news = asyncio.Event()
        self.instances = Instances(
            outlet=Outlet(emit=lambda *_: None, lose=lambda _: None),
            artefacts=self._get,
            changed=self._changed,
            config=AgentConfig(),
            jitter=lambda: 1.0,
            kernel=lambda: self.kernel,
            kernel_look_s=0.01,
            sleep=self._sleep,
        )
        self.states: list[InstanceState] = []
        self.kernel = "6.1"

    async def _sleep(self, seconds: float) -> None:
        """Record the pause between two attempts, and do not wait."""
        self.pauses.append(seconds)
        await asyncio.sleep(0)

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

    async def want(self, *names: str, digest: str = "1", settings: Any = None, revision: int = 7) -> None:
        wanted = tuple(
            DesiredInstance.of(
                id=name,
                build=Build(manifest=Manifest(name=name), digest=digest, object=Artefact(name="o", sha256="", size=0)),
                settings=settings or {},
            )
            for name in names
        )
        await self.instances.apply(wanted, revision=revision)

    def state(self, name: str) -> InstanceState | None:
        return next((each.state for each in self.instances.statuses() if each.instance_id == name), None)


@pytest.fixture
async def watch(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    Fake.started, Fake.fail, Fake.gate = [], lambda desired: None, threading.Event()
    Fake.gate.set()
    monkeypatch.setattr(module, "RunningInstance", Fake)
    monkeypatch.setattr(Instances, "_open_shared", lambda self: object())
    made = Watch()
    yield made
    Fake.gate.set()
    await made.instances.close()
    assert all(each.stopped for each in Fake.started)


async def test_failures_are_retried_with_growing_pauses_and_legal_states(watch: Watch) -> None:
    left = [BadProgram("no such thing", lines=("line 1", "line 2"))] * 9
    Fake.fail = lambda desired: left.pop() if left else None
    await watch.want("a")
    await watch.until(lambda: watch.state("a") is InstanceState.SUCCEEDED)
    assert watch.pauses == [1, 2, 4, 8, 16, 32, RETRY.cap_s, RETRY.cap_s, RETRY.cap_s]
    for before, after in zip(watch.states, watch.states[1:], strict=False):
        INSTANCE_TRANSITIONS.check(before, after)
    assert set(watch.states) == set(InstanceState)
    (status,) = watch.instances.statuses()
    assert (status.reason, status.log, status.attached, status.attempt) == ("", (), ("here",), 10)


async def test_retries_never_end(watch: Watch) -> None:
    Fake.fail = lambda desired: BadProgram("no such thing")
    await watch.want("a")
    await watch.until(lambda: len(watch.pauses) > 1100)  # a pause that doubles has left the range of floats by then
    assert max(watch.pauses) == RETRY.cap_s


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


async def test_what_is_noticed_about_rows_is_in_the_status_until_the_next_start(watch: Watch) -> None:
    await watch.want("a")
    await watch.until(lambda: watch.state("a") is InstanceState.SUCCEEDED)
    Fake.started[0].notice("column 'x' is a gauge")
    await watch.until(lambda: watch.instances.statuses()[0].warnings == ("column 'x' is a gauge",))
    Fake.started[0].failed(RuntimeError("broken"))
    await watch.until(lambda: len(Fake.started) > 1)
    assert not watch.instances.statuses()[0].warnings


async def test_what_this_kernel_will_never_have_is_not_tried_again_and_again(watch: Watch) -> None:
    tries: list[str] = []

    def fail(desired: DesiredInstance) -> Exception | None:
        tries.append(watch.kernel)
        return Unsupported("this kernel has no tracepoint a:b.") if watch.kernel == "6.1" else None

    Fake.fail = fail
    await watch.want("a")
    await watch.until(lambda: watch.state("a") is InstanceState.FAILED)
    await asyncio.sleep(0.1)
    (status,) = watch.instances.statuses()
    assert (tries, status.retry_at, status.attempt) == (["6.1"], 0.0, 1)
    assert status.reason.startswith("this kernel has no tracepoint a:b. It is tried again when")
    await watch.want("a", revision=8)
    await watch.until(lambda: len(tries) == 2)
    watch.kernel = "6.1 xfs"
    await watch.until(lambda: watch.state("a") is InstanceState.SUCCEEDED)
    assert len(tries) == 3


async def test_what_may_pass_is_tried_again(watch: Watch) -> None:
    Fake.fail = lambda desired: BadProgram("no memory")
    await watch.want("a")
    await watch.until(lambda: watch.instances.statuses()[0].attempt > 3)


async def test_a_module_of_a_newer_server_is_its_own_failure_and_is_not_tried_again(watch: Watch) -> None:
    await watch.want("a")
    await watch.until(lambda: watch.state("a") is InstanceState.SUCCEEDED)
    build = {"manifest": {"name": "b", "probe": [{"program": "p", "kind": "telepathy"}]}, "digest": "1"}
    wanted = DesiredInstance(id="b", packed=msgspec.Raw(msgspec.msgpack.encode(build)))
    for revision in (8, 9):
        await watch.instances.apply((Fake.started[0].desired, wanted), revision=revision)
        await watch.until(lambda: watch.state("b") is InstanceState.FAILED)
    status = next(each for each in watch.instances.statuses() if each.instance_id == "b")
    assert "telepathy" in status.reason
    assert "the same release" in status.reason
    assert status.retry_at == 0
    assert watch.state("a") is InstanceState.SUCCEEDED
    assert len(Fake.started) == 1
