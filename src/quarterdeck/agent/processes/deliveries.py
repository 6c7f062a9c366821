"""Delivery of the keeper's reports: to the process that they belong to, in order, acknowledged once they are stored.

One record per process holds all of its delivery state. Each process has one task at most, so one that prints very much
and waits for the message log delays no other. Output is acknowledged when the message log has stored it; an exit when
the owner of the process has released it (`release`). A killed agent therefore loses nothing: the next one gets the rest
from the keeper. The number of waiting events is limited, because the keeper sends little without acknowledgement. This
module reads no socket, and starts and ends nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.keeper.messages import Event, Exited, OutputChunk, OutputLost
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.agent.processes.measuring import Measuring
from quarterdeck.agent.processes.output import joined, why_missed
from quarterdeck.agent.processes.readings import Past
from quarterdeck.agent.processes.supervised_process import SupervisedProcess
from quarterdeck.model.messages import Level, LogLevels

log = logging.getLogger(__name__)

#: of the output taken and not acknowledged; more, and the log is asked to hurry: the keeper sends 256 KiB at most
HURRY_BYTES = 64 * 1024
#: the routing of the agent's own messages
FORWARDED = Routing.of(LogLevels(loglevels="*", loglevels_db="*", loglevels_ac="*"))


class Pause(NamedTuple):
    """An event that makes the delivery check whether an unfinished line has waited long enough for its end."""


Delivered = Event | Pause


@dataclass(slots=True, eq=False)
class _Exit:
    """A reported exit that is not acknowledged yet."""

    seq: int
    released: bool = False  #: it may be acknowledged
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class Delivery:
    """The delivery state of one process."""

    process: SupervisedProcess | None = None  #: None: nobody has claimed it, or it was released
    waiting: list[Delivered] = field(default_factory=list[Delivered])
    active: bool = False  #: a task delivers what waits
    stored_seq: int = 0  #: an earlier agent has stored the output up to this number
    unacknowledged_bytes: int = 0
    exit: _Exit | None = None


class Deliveries:
    """Delivers the events of `keeper`; `oom_kills` counts those of a process' tree, `spawn` runs a task."""

    def __init__(
        self,
        keeper: KeeperClient,
        *,
        messages: MessageLog,
        measuring: Measuring,
        oom_kills: Callable[[str], int],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._keeper = keeper
        self._messages = messages
        self._measuring = measuring
        self._oom_kills = oom_kills
        self._spawn = spawn
        self._deliveries: dict[str, Delivery] = {}
        self._acks: dict[str, int] = {}  # to be sent once the message log has written what it has
        self._to_acknowledge = asyncio.Event()
        self._exit_acknowledged = asyncio.Event()

    def open(self, process: SupervisedProcess, past: Past | None = None) -> None:
        """Deliver to this process, beginning with the events that waited. `past`: what an earlier agent read of it."""
        delivery = self._deliveries.setdefault(process.id, Delivery())
        delivery.process = process
        if past is not None:
            process.output.recall(past)
            delivery.stored_seq = past.reading.seq
        self._deliver_soon(delivery)

    def take(self, events: Iterable[Event]) -> None:
        """Deliver these events after the earlier ones of their processes; those of unclaimed processes wait."""
        for event in events:
            delivery = self._deliveries.setdefault(event.id, Delivery())
            delivery.waiting.append(event)
            self._deliver_soon(delivery)

    def release(self, process_id: str) -> None:
        """Forget a process that does not run: its exit may be acknowledged."""
        delivery = self._deliveries.get(process_id)
        if delivery is not None:
            delivery.process = None
            if delivery.exit is None:
                del self._deliveries[process_id]
            else:
                self._release_exit(process_id, delivery.exit)

    async def settle_exit(self, process_id: str) -> None:
        """Wait until the exit of the run before is acknowledged: only then does the keeper start this id again."""
        delivery = self._deliveries.get(process_id)
        if delivery is not None and (exit_ := delivery.exit) is not None:
            self._release_exit(process_id, exit_)
            self._messages.hurry()
            await exit_.acknowledged.wait()

    async def settle(self, finished: Callable[[], bool]) -> None:
        """Wait until no exit is left to be acknowledged and `finished` holds."""
        while not finished() or any(delivery.exit is not None for delivery in self._deliveries.values()):
            await self._exit_acknowledged.wait()
            self._exit_acknowledged.clear()

    async def run(self) -> None:
        """Acknowledge what is stored, for ever."""
        while True:
            await self._to_acknowledge.wait()
            self._to_acknowledge.clear()
            acks, self._acks = self._acks, {}
            ended: list[tuple[str, Delivery]] = []
            for process_id, seq in acks.items():
                if delivery := self._deliveries.get(process_id):
                    delivery.unacknowledged_bytes = 0
                    if delivery.exit is not None and delivery.exit.released and seq >= delivery.exit.seq:
                        ended.append((process_id, delivery))
            await self._messages.written()
            await self._keeper.acknowledge(acks)
            for process_id, delivery in ended:
                # How far it was read need not be known any more.
                await self._messages.put(Run(Source(process_id), 0, (), (), ()), FORWARDED, reading=None)
                self._acknowledged(process_id, delivery)

    async def close(self) -> None:
        """Store what was delivered, and acknowledge it."""
        await self._messages.flush()
        await self._keeper.acknowledge(self._acks)

    # ── in order, one task a process ─────────────────────────────────────────────────────────────────────────────────
    def _deliver_soon(self, delivery: Delivery) -> None:
        if delivery.process is not None and delivery.waiting and not delivery.active:
            delivery.active = True
            self._spawn(self._deliver_all(delivery))

    async def _deliver_all(self, delivery: Delivery) -> None:
        try:
            while (process := delivery.process) is not None and (events := delivery.waiting):
                delivery.waiting = []
                await self._deliver(delivery, process, events)
        finally:
            delivery.active = False

    async def _deliver(self, delivery: Delivery, process: SupervisedProcess, events: Sequence[Delivered]) -> None:
        """Whatever goes wrong with the output, the exit is delivered, because somebody waits for it."""
        try:
            await self._deliver_these(delivery, process, events)
        except Exception:
            log.exception("internal error: the output of the process '%s' could not be processed", process.id)
            exits = [event for event in events if isinstance(event, Exited)]
            if len(exits) < len(events):
                await self._deliver(delivery, process, exits)

    async def _deliver_these(self, delivery: Delivery, process: SupervisedProcess, events: Sequence[Delivered]) -> None:
        output: list[OutputChunk] = []
        for event in events:
            if isinstance(event, Pause):
                await self._paused(delivery, process, output)
                output = []
                continue
            if event.seq <= delivery.stored_seq and not isinstance(event, Exited):
                self._acknowledge(process.id, event.seq)
                continue
            if not isinstance(event, OutputChunk):
                await self._printed(delivery, process, output)
                output = []
            if missed := process.output.missed(event):
                process.note(Level.OPS_ERROR, f"{missed} bytes that it printed are lost: {why_missed(event)}.")
            match event:
                case OutputChunk():
                    output.append(event)
                case OutputLost():
                    self._acknowledge(process.id, event.seq)
                case Exited():
                    await self._exited(delivery, process, event)
        await self._printed(delivery, process, output)

    # ── what is delivered ────────────────────────────────────────────────────────────────────────────────────────────
    async def _printed(self, delivery: Delivery, process: SupervisedProcess, output: Sequence[OutputChunk]) -> None:
        chunks = joined(output)
        for stream, chunk in chunks[:-1]:
            await self._store(process, process.output.take(stream, chunk))
            await asyncio.sleep(0)  # a flood: let other tasks run
        if output:
            run = process.output.take(*chunks[-1])
            process.output.seq = output[-1].seq
            await self._store(process, run, reading=process.reading(process.output.seq))
            delivery.unacknowledged_bytes += sum(len(chunk) for _, chunk in chunks)
            self._acknowledge(process.id, process.output.seq)
            self._pause_later(delivery, process)
            if delivery.unacknowledged_bytes >= HURRY_BYTES:
                self._messages.hurry()

    def _pause_later(self, delivery: Delivery, process: SupervisedProcess) -> None:
        """Deliver a `Pause` when the unfinished part of a line has waited long enough for its end."""
        wait_s = process.output.waits_s
        if wait_s is not None and not process.output.pausing:
            process.output.pausing = True
            asyncio.get_running_loop().call_later(wait_s, self._pause, delivery)

    def _pause(self, delivery: Delivery) -> None:
        delivery.waiting.append(Pause())
        self._deliver_soon(delivery)

    async def _paused(self, delivery: Delivery, process: SupervisedProcess, output: Sequence[OutputChunk]) -> None:
        process.output.pausing = False
        await self._printed(delivery, process, output)
        for run in process.output.pause():
            await self._store(process, run, reading=process.reading(process.output.seq))
            self._messages.hurry()
        self._pause_later(delivery, process)

    async def _exited(self, delivery: Delivery, process: SupervisedProcess, exited: Exited) -> None:
        try:
            for run in process.output.end():
                await self._store(process, run, reading=process.reading(exited.seq))
        except Exception:
            log.exception("internal error: the last lines of the process '%s' could not be processed", process.id)
        delivery.stored_seq = 0
        delivery.exit = exit_ = _Exit(exited.seq)
        oom_kills = self._oom_kills(process.id) if exited.code != 0 else 0  # reading them costs a fifth of a short run
        process.exited(exited, oom_kills=oom_kills)
        if process.down:
            self._release_exit(process.id, exit_)

    async def _store(self, process: SupervisedProcess, run: Run, *, reading: bytes = b"") -> None:
        if process.output.samples:
            samples, process.output.samples = process.output.samples, []
            self._measuring.sampled(process.process, samples)
        await self._messages.put(run, process.routing, reading=reading)

    # ── what is acknowledged ─────────────────────────────────────────────────────────────────────────────────────────
    def _acknowledge(self, process_id: str, seq: int) -> None:
        self._acks[process_id] = seq
        self._to_acknowledge.set()

    def _release_exit(self, process_id: str, exit_: _Exit) -> None:
        if not exit_.released:
            exit_.released = True
            self._acknowledge(process_id, exit_.seq)

    def _acknowledged(self, process_id: str, delivery: Delivery) -> None:
        if delivery.exit is not None:
            delivery.exit.acknowledged.set()
            delivery.exit = None
        if delivery.process is None and self._deliveries.get(process_id) is delivery:
            del self._deliveries[process_id]
        self._exit_acknowledged.set()
