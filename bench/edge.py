"""The agent's path from kernel to columns, in this process: a module built from files, run by the agent's runtime.

Owns nothing of that way. The same classes that `qd agent` runs load the object, read it on the edge thread and encode
it on the encoder's; only where the batches go is the experiment's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from bench.measure import thread_cpu_ns, wait_until
from quarterdeck.agent.memory import keep_freed_blocks
from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.edge import Edge
from quarterdeck.agent.modules.encoder import Encoder
from quarterdeck.agent.modules.instance import RunningInstance, SharedResources
from quarterdeck.agent.modules.texts import Texts
from quarterdeck.bpf.symbols import Symbolizer
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.losses import Loss
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import DesiredInstance, InstanceStats
from quarterdeck.model.tables import Table
from quarterdeck.modulekit.build import Built
from quarterdeck.wasm.engine import Engine


class LocalEdge:
    """Runs one built module: a context manager that unloads it at its end."""

    def __init__(self, built: Built, settings: Mapping[str, SettingValue]) -> None:
        keep_freed_blocks()
        self._resources = ExitStack()
        self.failures: list[Exception] = []
        self.emitted_rows = self.emitted_bytes = 0
        engine = Engine()
        self._resources.callback(engine.close)
        encoder = Encoder(Outlet(emit=self._emit, lose=lambda _: None))  # losses are in the counts
        self._resources.callback(encoder.close)
        clock = EpochClock()
        edge = Edge(encoder, clock, flush_interval_s=AgentConfig().flush_interval_s)
        self._resources.callback(edge.close)
        shared = SharedResources(
            edge=edge,
            engine=engine,
            clock=clock,
            texts=Texts(engine),
            symbolizer=Symbolizer(),
        )
        desired = DesiredInstance.of(built.build, id="1", settings=settings)
        files = {each.name: built.artefacts[each.sha256] for each in (built.build.object, *built.build.transforms)}
        self._instance = RunningInstance.start(desired, files, shared, self.failures.append)
        self._resources.callback(self._instance.stop)

    @property
    def counts(self) -> InstanceStats:
        """Return the records read, kept and lost so far."""
        if self.failures:
            raise self.failures[0]
        stats = self._instance.stats()
        assert stats is not None
        return stats

    def settle(self, records: int, *, seconds: float = 30.0) -> None:
        """Wait until this many records were read or lost, and the kept ones were passed on."""
        wait_until(lambda: self._seen() >= records, f"{records} records", seconds=seconds)
        wait_until(lambda: self.emitted_rows >= self.counts.rows, "the last batch", seconds=seconds)

    def _seen(self) -> int:
        counts = self.counts
        return counts.records + counts.lost

    @property
    def columns_ns(self) -> int:
        """Return the CPU time of the thread that reads: from the kernel's memory to columns."""
        return thread_cpu_ns("edge")

    @property
    def encoding_ns(self) -> int:
        """Return the CPU time of the thread that encodes columns as compressed Arrow."""
        return thread_cpu_ns("edge-encoder")

    def _emit(self, _table: Table, rows: int, body: bytes, _module: str, _losses: Sequence[Loss]) -> None:
        self.emitted_rows += rows
        self.emitted_bytes += len(body)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._resources.close()
