"""A module that runs on this machine's kernel inside a test, for the `test_NAME.py` of a module's author.

    from pathlib import Path

    from quarterdeck.testing.module_run import ModuleRun

    def test_a_program_that_is_started_is_a_row() -> None:
        with ModuleRun(Path(__file__).parent, settings={"only_ppid": os.getpid()}) as run:
            subprocess.run(["/bin/true", "hello"])
            row = run.wait_for("execs", lambda row: row["comm"] == "true")
        assert row["args"] == "/bin/true hello"

A run uses the real components without a server: the folder is built as by `qd module build`, the agent's runtime loads
and attaches its programs, the agent's edge thread reads its buffers and maps, and the rows are decoded from the bytes
that would be sent. It has the requirements of an agent: root (or the capabilities) and a kernel with BTF. Other
programs and tests run on the machine at the same time, so select rows of your own process, port or file.

It owns one `Instances` with an event loop in a thread, and the emitted rows and losses. It stores nothing on disk.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Self, TypeVar

from msgspec.structs import replace

from quarterdeck.agent.modules.instances import Instances
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.losses import Loss
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import Artefact, Build, DesiredInstance, InstanceState, InstanceStats, InstanceStatus
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.modulekit.build import build_module
from quarterdeck.modulekit.folder import read_folder
from quarterdeck.store.telemetry.batches import decode

#: how long to wait for an expected event: a limit for slow machines, not a measure of speed
PATIENCE_S = 30.0

Row = dict[str, Any]
Wanted = Callable[[Row], bool]
T = TypeVar("T")


class ModuleFailed(AssertionError):
    """The module does not run on this kernel. `status` has the reason and the verifier's lines."""

    def __init__(self, status: InstanceStatus) -> None:
        super().__init__("\n".join((status.reason, *status.log)))
        self.status = status


class ModuleRun:
    """A module that runs in a `with` block. Entering returns when its programs are attached.

    `module` is its folder, or its files (path in the folder → content). `settings` correspond to `--set`. `interval_s`
    replaces the intervals of the manifest. `without` names programs that are treated as if this kernel refused them, so
    that the next of the manifest's `alternatives` is used.

    Entering raises the errors of the build (`BadManifest`, `BadProgram`, …), and `ModuleFailed` when the kernel accepts
    no alternative. Leaving undeploys the module: afterwards `rows` and `losses` are complete, and nothing is attached.
    """

    def __init__(
        self,
        module: Path | Mapping[str, bytes],
        *,
        settings: Mapping[str, SettingValue] | None = None,
        interval_s: float | None = None,
        without: Collection[str] = (),
    ) -> None:
        built = build_module(read_folder(module) if isinstance(module, Path) else module)
        self.build = _varied(built.build, interval_s, frozenset(without))  #: the finished module, as agents receive it
        self._contents = built.artefacts
        self._settings = dict(settings or {})
        self._rows: dict[str, list[Row]] = {source.table.name: [] for source in built.build.sources}
        self._batches: list[tuple[Table, bytes]] = []  # received and not yet read
        self._losses: list[Loss] = []
        self._stats: InstanceStats | None = None
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="module-run", daemon=True)
        self._instances = Instances(
            outlet=Outlet(emit=self._emit, lose=self._lose),
            artefacts=self._artefact,
            changed=self._wake,
            config=AgentConfig(flush_interval_s=0.05),
        )

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._apply(DesiredInstance.of(self.build, id="run", settings=self._settings))
            over = (InstanceState.SUCCEEDED, InstanceState.FAILED)
            self._wait(lambda: self.status.state in over, lambda: f"the module is still {self.status.state}")
            if self.status.state is InstanceState.FAILED:
                raise ModuleFailed(self.status)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._close()

    def stop(self) -> None:
        """Undeploy now: read everything one last time and detach. `stats` keeps the last values."""
        self._stats = self.stats
        self._apply()

    # ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def rows(self, table: str, wanted: Wanted | None = None) -> list[Row]:
        """Return the rows of `table` that arrived so far, in order, or those of them that are `wanted`.

        Values are in readable form: enums by name, addresses as IPv4Address and IPv6Address, a MAC as text, maps as
        dicts; times are int, nanoseconds since the epoch, and durations int nanoseconds.
        """
        with self._changed:
            for arrived, body in self._batches:
                self._rows[arrived.name] += readable(arrived, body)
            self._batches.clear()
            found = list(self._rows[table])
        return found if wanted is None else list(filter(wanted, found))

    def wait_for(self, table: str, wanted: Wanted, *, timeout_s: float = PATIENCE_S) -> Row:
        """Return the first row of `table` that is `wanted`. Raise `AssertionError` if none arrives."""

        def missing() -> str:
            rows = self.rows(table)
            last = "\n".join(map(str, rows[-5:]))
            return f"none of {len(rows)} rows of {table} is the one; losses: {self.losses}; the last rows:\n{last}"

        self._wait(lambda: bool(self.rows(table, wanted)), missing, timeout_s)
        return self.rows(table, wanted)[0]

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Return all losses that were reported so far."""
        with self._changed:
            return tuple(self._losses)

    @property
    def status(self) -> InstanceStatus:
        """Return state, reason, dropped programs and attachments. It is not available after `stop`."""
        (status,) = self._instances.statuses()
        return status

    @property
    def stats(self) -> InstanceStats:
        """Return the cost of the run: kernel time and runs of its programs, records, rows.

        After `stop`, the last values.
        """
        if self._stats is not None:
            return self._stats
        (stats,) = self._instances.stats()
        return stats

    # ── the agent's side ─────────────────────────────────────────────────────────────────────────────────────────────
    def _emit(self, table: Table, _rows: int, body: bytes, _module: str, losses: Sequence[Loss]) -> None:
        with self._changed:
            self._batches.append((table, body))
            self._losses += losses
            self._changed.notify_all()

    def _lose(self, loss: Loss) -> None:
        with self._changed:
            self._losses.append(loss)

    async def _artefact(self, artefact: Artefact) -> bytes:
        return self._contents[artefact.sha256]

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _apply(self, *instances: DesiredInstance) -> None:
        self._run(self._instances.apply(instances, revision=1))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def _wait(self, done: Callable[[], bool], missing: Callable[[], str], timeout_s: float = PATIENCE_S) -> None:
        until = time.monotonic() + timeout_s
        with self._changed:
            while not done():
                if not self._changed.wait(until - time.monotonic()):
                    raise AssertionError(f"after {timeout_s:.0f} s {missing()}")

    def _close(self) -> None:
        self._run(self._instances.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _varied(build: Build, interval_s: float | None, without: frozenset[str]) -> Build:
    """Return the same module with other intervals, and without some of its alternatives."""
    sources = build.sources
    if interval_s is not None:
        sources = tuple(replace(source, interval_s=interval_s) for source in sources)
    groups = build.manifest.alternatives
    kept = tuple(tuple(choice for choice in group if without.isdisjoint(choice)) for group in groups)
    passed_over = {name for group in groups for choice in group if not without.isdisjoint(choice) for name in choice}
    used = {name for group in kept for choice in group for name in choice}
    disabled = (*build.manifest.disabled, *sorted(without | (passed_over - used)))
    manifest = replace(build.manifest, alternatives=kept, disabled=disabled)
    return replace(build, sources=sources, manifest=manifest)


def readable(table: Table, body: bytes) -> list[Row]:
    """Yield the rows of a batch after the checks that a server makes."""
    arrow = decode(table, body)
    columns = {column.name: _values(column, arrow.column(column.name)) for column in table.columns}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


#: conversions of Arrow's values to readable ones
_READ: dict[ColumnType, Callable[[Any, Column], Any]] = {
    ColumnType.ENUM: lambda number, column: column.values.get(str(number), number),
    ColumnType.IPV4: lambda number, _: IPv4Address(number),
    ColumnType.IPV6: lambda octets, _: IPv6Address(octets),
    ColumnType.IP: lambda octets, _: IPv6Address(octets).ipv4_mapped or IPv6Address(octets),
    ColumnType.MAC: lambda number, _: number.to_bytes(6, "big").hex(":"),
    ColumnType.MAP: lambda pairs, _: {pair["key"]: pair["value"] for pair in pairs},
}


def _values(column: Column, values: Any) -> list[Any]:
    """Return the values of one column (a pyarrow.ChunkedArray) in readable form."""
    found = (values.cast("int64") if column.type is ColumnType.TIMESTAMP else values).to_pylist()
    read = _READ.get(column.type)
    return found if read is None else [read(value, column) for value in found]
