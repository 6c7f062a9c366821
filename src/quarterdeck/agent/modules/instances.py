"""The module instances of this node: makes what runs equal to the desired set, and keeps trying.

It owns each instance's state (INIT → IN_PROGRESS → SUCCEEDED | FAILED), the comparison of sets, the retries, and the
threads that instances share. An instance that fails is tried again with growing pauses and disturbs no other. How a
module gets into the kernel is `instance`'s business, what is said to the server the reporter's.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.edge import Edge
from quarterdeck.agent.modules.instance import RunningInstance, Workshop
from quarterdeck.agent.modules.outlet import Emit, Lose, Outlet
from quarterdeck.agent.modules.texts import Texts
from quarterdeck.bpf import stats
from quarterdeck.bpf.errors import AttachError, BpfError, LibbpfError
from quarterdeck.bpf.symbols import Symbolizer
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.desired import DesiredInstance, DesiredSet
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.modules import INSTANCE_TRANSITIONS, Artefact, InstanceState, InstanceStats, InstanceStatus
from quarterdeck.wasm.engine import Engine

RETRY_FIRST_S = 1.0
RETRY_CAP_S = 60.0
#: an instance that ran so long before it failed begins its retries anew
STABLE_S = 60.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class Instances:
    """All instances of one agent. Made and used in its event loop; `changed`, `emit` and `lose` may be called from
    other threads.
    """

    def __init__(
        self,
        *,
        emit: Emit,
        lose: Lose,
        artefacts: Callable[[Artefact], Awaitable[bytes]],
        changed: Callable[[], None],
        config: AgentConfig,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._emit = emit
        self._lose = lose
        self._artefacts = artefacts
        self._changed = changed
        self._config = config
        self._jitter = jitter
        self._seats: dict[str, _Seat] = {}
        self._resources = ExitStack()
        self._opening = threading.Lock()
        self._workshop: Workshop | None = None
        self._executor: ThreadPoolExecutor | None = None

    async def apply(self, desired: DesiredSet) -> None:
        """Start, stop and restart what differs. Returns when what is not wanted has ended; starting goes on."""
        wanted = {each.id: each for each in desired.instances}
        over = [seat for key, seat in self._seats.items() if _differs(seat.desired, wanted.get(key))]
        await asyncio.gather(*(seat.end() for seat in over))
        for seat in over:
            del self._seats[seat.desired.id]
        for key, instance in wanted.items():
            if key in self._seats:
                self._seats[key].update(revision=desired.revision)
            else:
                self._seats[key] = _Seat(instance, desired.revision, changed=self._changed, run=self._run)
        self._changed()

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Every instance as it is now."""
        return tuple(seat.status for seat in self._seats.values())

    def stats(self) -> tuple[InstanceStats, ...]:
        """What the running ones have cost and made."""
        running = [seat.running for seat in self._seats.values() if seat.running is not None]
        return tuple(found for instance in running if (found := instance.stats()) is not None)

    async def close(self) -> None:
        """Stop everything; what programs sent until now is emitted before this returns."""
        await asyncio.gather(*(seat.end() for seat in self._seats.values()))
        self._seats.clear()
        await asyncio.to_thread(self._resources.close)
        self._workshop = self._executor = None

    # ── one instance: a task for each ────────────────────────────────────────────────────────────────────────────────
    async def _run(self, seat: _Seat) -> None:
        """Keep the instance running until the task is cancelled."""
        attempt = 0
        while True:
            attempt += 1
            seat.update(state=InstanceState.IN_PROGRESS, attempt=attempt, retry_at=0.0)
            began = time.monotonic()
            try:
                await self._start_and_watch(seat)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this instance's own trouble
                if time.monotonic() - began > STABLE_S:
                    attempt = 1
                pause = min(RETRY_CAP_S, RETRY_FIRST_S * 2 ** min(attempt - 1, 10)) * (1 + self._jitter()) / 2
                seat.fail(error, attempt=attempt, retry_at=time.time() + pause)
                await asyncio.sleep(pause)

    async def _start_and_watch(self, seat: _Seat) -> None:
        """Start the instance, and stop it when it breaks down (raises why) or is cancelled."""
        build = seat.desired.build
        files = (build.object, *build.transforms)
        contents = await asyncio.gather(*map(self._artefacts, files))
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def failed(error: Exception) -> None:
            loop.call_soon_threadsafe(_set_exception, broken, error)

        named = {file.name: content for file, content in zip(files, contents, strict=True)}
        running = await self._started(seat.desired, named, failed)
        seat.running = running
        try:
            seat.update(
                state=InstanceState.SUCCEEDED,
                reason="",
                log=(),
                dropped=running.dropped,
                attached=running.attached,
                load_ms=running.load_ms,
            )
            await broken
        finally:
            seat.running = None
            await asyncio.shield(self._in_thread(running.stop))

    async def _started(
        self, desired: DesiredInstance, files: dict[str, bytes], failed: Callable[[Exception], None]
    ) -> RunningInstance:
        start = self._in_thread(partial(self._start, desired, files, failed))
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:
            # The thread cannot be interrupted: let it finish, then take down what it put up.
            (outcome,) = await asyncio.gather(start, return_exceptions=True)
            if isinstance(outcome, RunningInstance):
                await self._in_thread(outcome.stop)
            raise

    def _start(
        self, desired: DesiredInstance, files: dict[str, bytes], failed: Callable[[Exception], None]
    ) -> RunningInstance:
        with self._opening:
            workshop = self._workshop = self._workshop or self._open_workshop()
        return RunningInstance.start(desired, files, workshop, failed)

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Loading and stopping block for long: two threads do it, so that one slow verifier run is not in the way."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(2, thread_name_prefix="modules")
            self._resources.callback(self._executor.shutdown)
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _open_workshop(self) -> Workshop:
        """What instances share, made when the first one starts: an agent without modules has none of it."""
        config, clock = self._config, EpochClock()
        with ExitStack() as opened:
            engine = Engine(cache=Path(config.home) / "agent" / "wasm" if config.home else None)
            opened.callback(engine.close)
            texts = Texts(engine)
            outlet = Outlet(emit=self._emit, lose=self._lose)
            opened.callback(outlet.close)
            edge = Edge(outlet, clock, flush_interval_s=config.flush_interval_s)
            opened.callback(edge.close)
            try:
                opened.enter_context(stats.counting())
            except BpfError as error:
                log.warning("the kernel will not count what modules cost: %s", error)
            self._resources.push(opened.pop_all())
        return Workshop(
            edge=edge,
            engine=engine,
            clock=clock,
            texts=texts,
            symbolizer=Symbolizer(),
        )


class _Seat:
    """One instance's place: what is wanted, what is, and the task that brings the two together."""

    def __init__(
        self,
        desired: DesiredInstance,
        revision: int,
        *,
        changed: Callable[[], None],
        run: Callable[[_Seat], Awaitable[None]],
    ) -> None:
        self.desired = desired
        self.status = InstanceStatus(
            instance_id=desired.id, state=InstanceState.INIT, revision=revision, since=time.time()
        )
        self.running: RunningInstance | None = None
        self._changed = changed
        self._ending = False
        self._task = asyncio.ensure_future(run(self))

    def update(self, *, state: InstanceState | None = None, **changes: object) -> None:
        """Change the status, and say so. An illegal change of state is a fault of ours and raises."""
        if state is not None and state is not self.status.state:
            changes |= {"state": INSTANCE_TRANSITIONS.check(self.status.state, state), "since": time.time()}
        self.status = replace(self.status, **changes)
        self._changed()

    def fail(self, error: Exception, *, attempt: int, retry_at: float) -> None:
        """It is not running now; say why in words, and with the lines of whoever refused it."""
        reason, lines = _explain(error)
        log.warning("module %s: attempt %d failed: %s", self.desired.build.manifest.name, attempt, reason)
        self.update(
            state=InstanceState.FAILED, reason=reason, log=lines, attempt=attempt, retry_at=retry_at, attached=()
        )

    async def end(self) -> None:
        """Stop it for good."""
        if not self._ending:  # a second cancellation would leave what is being taken down half up
            self._ending = True
            self._task.cancel()
        await asyncio.wait({self._task})


def _differs(now: DesiredInstance, wanted: DesiredInstance | None) -> bool:
    return wanted is None or (now.build.digest, now.settings) != (wanted.build.digest, wanted.settings)


def _explain(error: Exception) -> tuple[str, tuple[str, ...]]:
    """The reason in a sentence or two, and the tool's own lines."""
    if isinstance(error, QuarterdeckError):
        return str(error), error.lines
    if isinstance(error, LibbpfError | AttachError):
        return str(error).partition("\n")[0], tuple(error.log.splitlines())
    if isinstance(error, BpfError):
        return str(error), ()
    log.error("an instance failed in a way that is not foreseen", exc_info=error)
    return f"{type(error).__name__}: {error}", ()


def _set_exception(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
