"""One module running on this node: its object in the kernel, its readers on the edge thread.

Owns the order of starting (load, open buffers, attach, read) and of stopping (detach, read what is left, close), and
the cost of the instance. All methods block for too long for an event loop: run them in a thread. It never retries;
`Instances` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.edge import Edge, Tap
from quarterdeck.agent.modules.extract import Extractor, Tools
from quarterdeck.agent.modules.loading import Loaded, Loader, Unsupported, reasons_text, refusal
from quarterdeck.agent.modules.losses import KernelLosses
from quarterdeck.agent.modules.maps import MapReader
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.settings import apply_settings, chosen_settings, transform_settings, with_owners
from quarterdeck.agent.modules.stacks import StackMap, Stacks
from quarterdeck.agent.modules.streams import RecordReader, StreamReader
from quarterdeck.agent.modules.texts import Texts
from quarterdeck.agent.modules.times import TimeCheck
from quarterdeck.agent.modules.transforms import BatchTransform
from quarterdeck.agent.modules.walks import WalkReader
from quarterdeck.bpf import stats
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.object import BpfObject
from quarterdeck.bpf.perf import PerfBuffer
from quarterdeck.bpf.ring import RingBuffer
from quarterdeck.bpf.symbols import Symbolizer
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.errors import BadProgram
from quarterdeck.model.losses import KERNEL_LOSSES_MAP
from quarterdeck.model.modules import Build, DesiredInstance, DroppedProgram, InstanceStats, SourceKind, TableSource
from quarterdeck.wasm.description import Layout
from quarterdeck.wasm.engine import Engine

#: a program that was running when it was detached has ended after this time
GRACE_S = 0.01
_IDLE = "it is attached nowhere"


@dataclass(frozen=True, slots=True)
class SharedResources:
    """The resources that all instances of an agent share."""

    edge: Edge
    engine: Engine
    clock: EpochClock
    texts: Texts
    symbolizer: Symbolizer


class RunningInstance:
    """A started instance. After `stop`, nothing of it is attached or loaded."""

    def __init__(
        self,
        desired: DesiredInstance,
        artefacts: Mapping[str, bytes],
        shared: SharedResources,
        notice: Callable[[str], None],
    ) -> None:
        self.desired = desired
        self._build = desired.build
        self._notice = notice
        self._artefacts = artefacts  # by name
        self._shared = shared
        self._settings = chosen_settings(self._build, desired.settings)
        self._readers: list[Reader] = []
        self._buffers = ExitStack()
        self._tap: Tap | None = None
        self._lock = threading.Lock()  # stats may be requested while it stops
        self.load_ms = 0.0
        self._loaded: Loaded | None = None

    @classmethod
    def start(
        cls,
        desired: DesiredInstance,
        artefacts: Mapping[str, bytes],
        shared: SharedResources,
        failed: Callable[[Exception], None],
        notice: Callable[[str], None] = lambda _: None,
    ) -> RunningInstance:
        """Load, attach and begin to read. `failed` is called on the edge thread when reading fails later, `notice` with
        information for the module's author about its rows.

        Raises a BadInput (BadProgram, BadSetting, BadTransform …) or a BpfError.
        """
        instance = cls(desired, artefacts, shared, notice)
        began = time.perf_counter()
        build = instance._build
        loader = Loader(
            build.manifest,
            artefacts[build.object.name],
            lambda opened: apply_settings(opened, build, instance._settings),
        )
        try:
            instance._loaded = loader.load(instance._open_readers, instance._buffers.close)
            _require_writers(build, instance._loaded)
            instance._listen(failed)
        except BaseException:
            instance._close()
            raise
        instance.load_ms = (time.perf_counter() - began) * 1000
        return instance

    @property
    def attached(self) -> tuple[str, ...]:
        """Return the programs and where they are attached, as texts."""
        return tuple(self._loaded.attached) if self._loaded else ()

    @property
    def dropped(self) -> tuple[DroppedProgram, ...]:
        """Return the programs that were left out, with the reasons."""
        return tuple(self._loaded.dropped) if self._loaded else ()

    def stop(self) -> None:
        """Detach, read what is left, send it, and close. Return when everything has been emitted."""
        assert self._loaded is not None
        try:
            for program in self._loaded.object.programs.values():
                while program.links:
                    program.links[-1].detach()
            time.sleep(GRACE_S)
            if self._tap is not None:
                self._shared.edge.remove(self._tap)
        finally:
            with self._lock:
                self._close()

    def stats(self) -> InstanceStats | None:
        """Return its costs and counts so far; None after it was stopped. May be called from any thread."""
        with self._lock:
            return None if self._loaded is None else self._stats(self._loaded.object)

    def _stats(self, opened: BpfObject) -> InstanceStats:
        counts = [reader.counts for reader in self._readers]
        kernel_ns = runs = missed = memory = 0
        for program in opened.programs.values():
            if program.loaded:
                seen = stats.program_stats(program.fd)
                kernel_ns += seen.run_time_ns
                runs += seen.run_count
                missed += seen.recursion_misses
                memory += seen.memory_bytes
        memory += sum(stats.map_memory_bytes(each.fd) for each in opened.maps.values() if each.loaded)
        return InstanceStats(
            instance_id=self.desired.id,
            kernel_ns=kernel_ns,
            runs=runs,
            missed=missed,
            agent_ns=sum(each.agent_ns + each.encode_ns for each in counts),
            records=sum(each.records for each in counts),
            rows=sum(each.rows for each in counts),
            lost=sum(each.lost for each in counts),
            bytes=sum(each.bytes for each in counts),
            memory_bytes=memory,
        )

    # ── readers ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _open_readers(self, opened: BpfObject) -> None:
        """Create a reader for each table; the maps exist and no program runs yet."""
        self._buffers.close()
        self._readers = []
        stack_maps = {
            each.name: StackMap(KernelMap(each.fd))
            for each in opened.maps.values()
            if each.type is MapType.STACK_TRACE and each.loaded
        }
        shared = self._shared
        tools = Tools(shared.texts, shared.clock, Stacks(shared.symbolizer, stack_maps))
        self._times = TimeCheck(shared.clock, shared.clock.moment())
        for each in self._build.sources:
            source = with_owners(each, self._build, self._settings)
            into = self._transform(source) if source.transform else Extractor(source, tools)
            if source.iterator:
                self._readers.append(self._walk(source, opened, into))
            elif source.kind is SourceKind.RECORDS:
                self._readers.append(self._stream(source, opened, into))
            else:
                self._readers.append(self._map(source, opened, into))

    def _stream(self, source: TableSource, opened: BpfObject, into: Extractor | BatchTransform) -> Reader:
        module = self._build.manifest.name
        for reader in self._readers:
            if isinstance(reader, StreamReader) and reader.source.maps == source.maps:
                other = RecordReader(source, module, into=into, times=self._times, notice=self._notice)
                reader.share(other)
                return other
        buffers: list[RingBuffer | PerfBuffer] = []
        for name in source.maps:
            found = opened.maps.get(name)
            if found is None or not found.loaded:
                continue
            if found.type is MapType.RINGBUF:
                buffers.append(RingBuffer(found.fd, KernelMap(found.fd).max_entries))
            elif found.type is MapType.PERF_EVENT_ARRAY:
                buffers.append(PerfBuffer(found.fd))
            self._buffers.callback(buffers[-1].close)
            if isinstance(into, BatchTransform):
                into.prepare(Layout.RING if found.type is MapType.RINGBUF else Layout.PERF)
        if not buffers:
            raise _no_map(source, opened)
        return StreamReader(source, module, buffers=buffers, into=into, times=self._times, notice=self._notice)

    def _walk(self, source: TableSource, opened: BpfObject, into: Extractor | BatchTransform) -> Reader:
        if isinstance(into, BatchTransform):
            into.prepare(Layout.RECORDS)
        module, program = self._build.manifest.name, opened.programs[source.iterator]
        return WalkReader(source, module, program=program, into=into, times=self._times, notice=self._notice)

    def _map(self, source: TableSource, opened: BpfObject, into: Extractor | BatchTransform) -> Reader:
        found = next((opened.maps[name] for name in source.maps if name in opened.maps), None)
        if found is None or not found.loaded:
            raise _no_map(source, opened)
        if isinstance(into, BatchTransform):
            into.prepare(Layout.ENTRIES)
        module, kernel_map = self._build.manifest.name, KernelMap(found.fd)
        return MapReader(source, module, kernel_map=kernel_map, into=into, times=self._times, notice=self._notice)

    def _transform(self, source: TableSource) -> BatchTransform:
        shared = self._shared
        return BatchTransform(
            source,
            self._artefacts[source.transform],
            engine=shared.engine,
            clock=shared.clock,
            settings=transform_settings(self._build, self._settings),
        )

    def _listen(self, failed: Callable[[Exception], None]) -> None:
        if not self._readers:
            return
        assert self._loaded is not None
        maps = {each.name: KernelMap(each.fd) for each in self._loaded.object.maps.values() if each.loaded}
        counters = maps.pop(KERNEL_LOSSES_MAP, None)
        losses = KernelLosses(counters, self._readers, maps) if counters else None
        tap = Tap(tuple(self._readers), failed, losses)
        self._shared.edge.add(tap)
        self._tap = tap

    def _close(self) -> None:
        self._buffers.close()
        if self._loaded is not None:
            self._loaded.object.close()
            self._loaded = None


def _require_writers(build: Build, loaded: Loaded) -> None:
    """Raise BadProgram when a table would always stay empty, because each program that could fill it was left out."""
    working = {program.name for program in loaded.object.programs.values() if program.links}
    reasons = {each.program: each for each in loaded.dropped}
    for source in build.sources:
        if not working & set(source.writers):
            if not source.writers:
                raise Unsupported(
                    f"Table '{source.table.name}' would stay empty: no loaded program uses "
                    f"its source ({', '.join(source.maps)}).",
                    hint="`qd module build` says which programs are not loaded, and why.",
                )
            idle = [
                reasons.get(name) or DroppedProgram(program=name, reason=_IDLE, lasting=True) for name in source.writers
            ]
            raise refusal(
                f"No program that fills table '{source.table.name}' works on this kernel: {reasons_text(idle)}.", idle
            )


def _no_map(source: TableSource, opened: BpfObject) -> BadProgram:
    return BadProgram(
        f"Table {source.table.name} is read from {' or '.join(source.maps)}, but no such map was made on this kernel.",
        hint=f"The object has: {', '.join(each.name for each in opened.maps.values() if each.loaded)}.",
    )
