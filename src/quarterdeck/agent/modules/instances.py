"""The module instances of this node: makes what runs equal to the desired set, and keeps retrying.

Owns each instance's state (INIT → IN_PROGRESS → SUCCEEDED | FAILED), the comparison of sets, the retries, and the
threads that instances share. A failed instance is retried with growing pauses and disturbs no other. It does not load
modules (`instance` does) and does not send reports (`assembly/modules.py` does).
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.edge import Edge
from quarterdeck.agent.modules.encoder import Encoder
from quarterdeck.agent.modules.instance import RunningInstance, SharedResources
from quarterdeck.agent.modules.loading import Unsupported
from quarterdeck.agent.modules.texts import Texts
from quarterdeck.bpf import stats
from quarterdeck.bpf.errors import AttachError, BpfError, LibbpfError
from quarterdeck.bpf.kernel import identity
from quarterdeck.bpf.symbols import Symbolizer
from quarterdeck.columns.outlet import Outlet
from quarterdeck.kit.backoff import Backoff
from quarterdeck.kit.race import within
from quarterdeck.kit.tasks import finish, own_cancellation
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.errors import BadInput, BadManifest, BadSetting, BadTransform, QuarterdeckError
from quarterdeck.model.modules import (
    INSTANCE_TRANSITIONS,
    Artefact,
    DesiredInstance,
    InstanceState,
    InstanceStats,
    InstanceStatus,
)
from quarterdeck.wasm.engine import Engine

RETRY = Backoff(1.0, 60.0)
#: an instance that ran this long before it failed starts its retries from the shortest pause
STABLE_S = 60.0
#: how often the agent checks whether the kernel has changed for a module that it cannot run
KERNEL_LOOK_S = 60.0
#: problems reported for one instance; more are in the agent's own log
MAX_WARNINGS = 32

T = TypeVar("T")

log = logging.getLogger(__name__)


class Instances:
    """All instances of one agent. Created and used in its event loop; `changed`, `emit` and `lose` may be called from
    other threads.
    """

    def __init__(
        self,
        *,
        outlet: Outlet,
        artefacts: Callable[[Artefact], Awaitable[bytes]],
        changed: Callable[[], None],
        config: AgentConfig,
        jitter: Callable[[], float] = random.random,
        kernel: Callable[[], str] = identity,
        kernel_look_s: float = KERNEL_LOOK_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outlet = outlet
        self._artefacts = artefacts
        self._changed = changed
        self._config = config
        self._jitter = jitter
        self._kernel = kernel
        self._kernel_look_s = kernel_look_s
        self._sleep = sleep
        self._runners: dict[str, _Runner] = {}
        self._resources = ExitStack()
        self._opening = threading.Lock()
        self._shared: SharedResources | None = None
        self._executor: ThreadPoolExecutor | None = None

    async def apply(self, wanted: Sequence[DesiredInstance], *, revision: int) -> None:
        """Start, stop and restart what differs. Return when unwanted instances have ended; starting continues."""
        named = {each.id: each for each in wanted}
        unwanted = [runner for key, runner in self._runners.items() if _differs(runner.desired, named.get(key))]
        await asyncio.gather(*(runner.end() for runner in unwanted))
        for runner in unwanted:
            del self._runners[runner.desired.id]
        for key, instance in named.items():
            if key in self._runners:
                self._runners[key].update(revision=revision)
            else:
                self._runners[key] = _Runner(instance, revision, changed=self._changed, run=self._run)
        self._changed()

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Return the current status of every instance."""
        return tuple(runner.status for runner in self._runners.values())

    def stats(self) -> tuple[InstanceStats, ...]:
        """Return the costs and counts of the running instances."""
        running = [runner.running for runner in self._runners.values() if runner.running is not None]
        return tuple(found for instance in running if (found := instance.stats()) is not None)

    def names(self) -> dict[str, str]:
        """Return the name of the module of every instance, by the id of the instance."""
        return {key: runner.desired.name for key, runner in self._runners.items()}

    async def close(self) -> None:
        """Stop everything; return after all that programs sent has been emitted."""
        await asyncio.gather(*(runner.end() for runner in self._runners.values()))
        self._runners.clear()
        await asyncio.to_thread(self._resources.close)
        self._shared = self._executor = None

    # ── one instance: a task for each ────────────────────────────────────────────────────────────────────────────────
    async def _run(self, runner: _Runner) -> None:
        """Keep the instance running until the task is cancelled."""
        attempt = 0
        while True:
            attempt += 1
            runner.update(state=InstanceState.IN_PROGRESS, attempt=attempt, retry_at=0.0, warnings=())
            began = time.monotonic()
            try:
                with own_cancellation():
                    await self._start_and_watch(runner)
            except _LastingFailure as lasting:
                runner.fail(lasting.error, attempt=attempt, retry_at=0.0)
                await self._another_kernel(runner)
                attempt = 0
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this instance's own trouble
                if time.monotonic() - began > STABLE_S:
                    attempt = 1
                pause = RETRY.pause_s(attempt - 1, self._jitter())
                runner.fail(error, attempt=attempt, retry_at=time.time() + pause)
                await self._sleep(pause)

    async def _start_and_watch(self, runner: _Runner) -> None:
        """Start the instance, and stop it when it fails (raise the error) or is cancelled."""
        try:
            build = runner.desired.build
        except BadInput as error:
            raise _LastingFailure(error) from error
        files = (build.object, *build.transforms)
        contents = await asyncio.gather(*map(self._artefacts, files))
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def failed(error: Exception) -> None:
            loop.call_soon_threadsafe(_set_exception, broken, error)

        def notice(text: str) -> None:
            loop.call_soon_threadsafe(runner.warn, text)

        named = {file.name: content for file, content in zip(files, contents, strict=True)}
        try:
            running = await self._started(partial(self._start, runner.desired, named, failed, notice))
        except _LASTING as error:
            raise _LastingFailure(error) from error
        runner.running = running
        try:
            runner.update(
                state=InstanceState.SUCCEEDED,
                reason="",
                log=(),
                dropped=running.dropped,
                attached=running.attached,
                load_ms=running.load_ms,
            )
            await broken
        finally:
            runner.running = None
            await finish(self._in_thread(running.stop))

    async def _another_kernel(self, runner: _Runner) -> None:
        """Wait until another attempt may succeed: kernel modules have changed, or the deployment has."""
        kernel, revision = self._kernel(), runner.status.revision
        while runner.status.revision == revision and self._kernel() == kernel:
            runner.news.clear()
            await within(self._kernel_look_s, runner.news.wait())

    async def _started(self, start_it: Callable[[], RunningInstance]) -> RunningInstance:
        start = self._in_thread(start_it)
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:
            # The thread cannot be interrupted: let it finish, then unload what it loaded.
            (outcome,) = await asyncio.gather(start, return_exceptions=True)
            if isinstance(outcome, RunningInstance):
                await self._in_thread(outcome.stop)
            raise

    def _start(
        self,
        desired: DesiredInstance,
        files: dict[str, bytes],
        failed: Callable[[Exception], None],
        notice: Callable[[str], None],
    ) -> RunningInstance:
        with self._opening:
            shared = self._shared = self._shared or self._open_shared()
        return RunningInstance.start(desired, files, shared, failed, notice)

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run blocking work in one of two threads, so that one slow verifier run does not delay the others."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(2, thread_name_prefix="modules")
            self._resources.callback(self._executor.shutdown)
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _open_shared(self) -> SharedResources:
        """Open the shared resources when the first instance starts: an agent without modules has none of them."""
        config, clock = self._config, EpochClock()
        with ExitStack() as opened:
            engine = Engine(cache=Path(config.home) / "agent" / "wasm" if config.home else None)
            opened.callback(engine.close)
            texts = Texts(engine)
            encoder = Encoder(self._outlet)
            opened.callback(encoder.close)
            edge = Edge(encoder, clock, flush_interval_s=config.flush_interval_s)
            opened.callback(edge.close)
            try:
                opened.enter_context(stats.counting())
            except BpfError as error:
                log.warning("the kernel will not count what modules cost: %s", error)
            self._resources.push(opened.pop_all())
        return SharedResources(
            edge=edge,
            engine=engine,
            clock=clock,
            texts=texts,
            symbolizer=Symbolizer(),
        )


_WHEN_AGAIN = "It is tried again when this kernel, its modules or the module change, or when it is deployed anew."
#: Errors of a start that depend only on the module, its settings and the kernel.
_LASTING = (Unsupported, BadManifest, BadSetting, BadTransform)


class _LastingFailure(Exception):
    """A failure of a start that will repeat until something changes."""

    def __init__(self, error: BadInput) -> None:
        super().__init__(str(error))
        self.error = error


class _Runner:
    """One instance: its desired state, its status, and the task that brings the two together."""

    def __init__(
        self,
        desired: DesiredInstance,
        revision: int,
        *,
        changed: Callable[[], None],
        run: Callable[[_Runner], Awaitable[None]],
    ) -> None:
        self.desired = desired
        self.status = InstanceStatus(
            instance_id=desired.id, state=InstanceState.INIT, revision=revision, since=time.time()
        )
        self.running: RunningInstance | None = None
        self.news = asyncio.Event()  #: set when its status changed
        self._changed = changed
        self._ending = False
        self._task = asyncio.ensure_future(run(self))

    def update(self, *, state: InstanceState | None = None, **changes: object) -> None:
        """Change the status and report it. Raise for an illegal change of state, which is a programming error."""
        if state is not None and state is not self.status.state:
            changes |= {"state": INSTANCE_TRANSITIONS.check(self.status.state, state), "since": time.time()}
        self.status = replace(self.status, **changes)
        self.news.set()
        self._changed()

    def fail(self, error: Exception, *, attempt: int, retry_at: float) -> None:
        """Record that it is not running now, with the reason and the lines of the tool that refused it."""
        reason, lines = _explain(error)
        if not retry_at:
            reason += (
                " It is tried again when this kernel, its modules or the module change, or when it is deployed anew."
            )
        log.warning("module %s: attempt %d failed: %s", self.desired.name, attempt, reason)
        self.update(
            state=InstanceState.FAILED, reason=reason, log=lines, attempt=attempt, retry_at=retry_at, attached=()
        )

    def warn(self, text: str) -> None:
        """Record a warning about its rows."""
        log.warning("module %s: %s", self.desired.name, text)
        self.update(warnings=(*self.status.warnings, text)[:MAX_WARNINGS])

    async def end(self) -> None:
        """Stop it permanently."""
        if not self._ending:  # a second cancellation would leave it half unloaded
            self._ending = True
            self._task.cancel()
        await asyncio.wait({self._task})


def _differs(now: DesiredInstance, wanted: DesiredInstance | None) -> bool:
    return wanted is None or (now.digest, now.settings) != (wanted.digest, wanted.settings)


def _explain(error: Exception) -> tuple[str, tuple[str, ...]]:
    """Return the reason in a sentence or two, and the tool's own lines."""
    if isinstance(error, QuarterdeckError):
        return str(error), error.lines
    if isinstance(error, LibbpfError | AttachError):
        return str(error).partition("\n")[0], tuple(error.log.splitlines())
    if isinstance(error, BpfError):
        return str(error), ()
    log.error("an instance failed with an unexpected error", exc_info=error)
    return f"{type(error).__name__}: {error}", ()


def _set_exception(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
