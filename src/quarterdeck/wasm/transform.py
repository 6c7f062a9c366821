"""A transform as the agent uses it: it is loaded once, takes spans and returns columns.

A span is passed in chunks. Each chunk gives one Output, whose arrays are valid until the next is requested. A chunk
that fails raises an error and is lost alone: the error contains its numbers of bytes and records, and the next call
uses a new instance. One thread uses a transform at a time; the GIL is released while the guest runs. It does not decide
how often a transform may fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from quarterdeck.wasm.contract import check_input
from quarterdeck.wasm.description import Description, Layout, OutputColumn
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import InvalidOutput, TransformFailed
from quarterdeck.wasm.guest import Array, Guest, Output
from quarterdeck.wasm.instance import Limits, LogSink, guest_log
from quarterdeck.wasm.spans import (
    PERF_HEADER_BYTES,
    RING_HEADER_BYTES,
    SpanWalker,
    next_ring_record_bytes,
    ring_record_bytes,
    uniform_records,
)


class _Chunk(NamedTuple):
    """The next whole records of a span: each has `step` bytes, or they begin at `starts`."""

    size: int  # bytes
    records: int
    lost: int = 0
    step: int = 0
    starts: Array | None = None


class Transform:
    """A loaded transform for spans of one layout."""

    def __init__(self, guest: Guest, layout: Layout, walker: SpanWalker) -> None:
        self._guest = guest
        self._layout = layout
        self._walker = walker
        self._record_bytes = sum(guest.description.input.sizes)  # 0: payloads of any size
        guest.grow(self._record_bytes)

    @classmethod
    def load(
        cls,
        engine: Engine,
        wasm: bytes,
        *,
        layout: Layout,
        sizes: tuple[int, ...] | None = None,
        settings: Mapping[str, float] | None = None,
        limits: Limits | None = None,
        log: LogSink = guest_log,
    ) -> Transform:
        """Compile (or fetch from the cache), check and start `wasm`.

        `sizes` are the bytes of a record, or of a key and a value, on the host; None stands for unknown. `log` receives
        a level (10 debug … 40 error) and a line. Raise `InvalidGuest`, `RecordMismatch`, `InvalidSetting`, or
        `TransformFailed` when the start of the guest fails.
        """
        guest = Guest(engine, wasm, settings=settings, limits=limits, log=log)
        check_input(guest.description, layout, sizes)
        return cls(guest, layout, SpanWalker(engine))

    @property
    def schema(self) -> tuple[OutputColumn, ...]:
        """Return the columns of its table, in order."""
        return self._guest.description.columns

    @property
    def description(self) -> Description:
        return self._guest.description

    def run_buffer(self, span: bytes | bytearray | memoryview | Array) -> Iterator[Output]:
        """Do the same as `run` for a span that is a Python object."""
        array = np.frombuffer(span, np.uint8)
        yield from self.run(array.ctypes.data, array.nbytes)

    def run(self, address: int, nbytes: int) -> Iterator[Output]:
        """Yield the columns of the `nbytes` at `address`, chunk by chunk. The bytes must not change until the end.

        It stops where the span has no further whole record (one is still being written, or cut off): the sum of the
        outputs' `consumed` is the part that may be released. Raise `TransformFailed` for a chunk that is lost: add its
        `consumed` too, and call again for the rest.
        """
        at = 0
        while at < nbytes:
            chunk = self._chunk(address + at, nbytes - at)
            if not chunk.size:
                return
            try:
                output = self._guest.give(self._layout, address + at, chunk.size)
                self._check_progress(chunk, output)
            except TransformFailed as failure:
                failure.consumed, failure.records, failure.lost = chunk.size, chunk.records, chunk.lost
                raise
            at += output.consumed
            yield output

    def _chunk(self, address: int, left: int) -> _Chunk:
        limit = min(left, self._guest.capacity)
        match self._layout:
            case Layout.RECORDS | Layout.ENTRIES:
                records = limit // self._record_bytes
                return _Chunk(records * self._record_bytes, records, step=self._record_bytes)
            case Layout.PERF:
                offsets, _, size, lost = self._walker.walk_perf(address, limit)
                return _Chunk(size, len(offsets), lost, starts=offsets - np.uint32(PERF_HEADER_BYTES))
            case Layout.RING:
                return self._ring_chunk(address, left, limit)

    def _ring_chunk(self, address: int, left: int, limit: int) -> _Chunk:
        """Return the next chunk of a ring. Find the committed records before the guest gets its copy.

        With a single copy, a record that is committed meanwhile could have its new header and its old payload.
        """
        step = ring_record_bytes(self._record_bytes)
        if self._record_bytes and (records := uniform_records(address, limit, self._record_bytes)):
            return _Chunk(records * step, records, step=step)
        offsets, _, size = self._walker.walk(address, limit)
        if not size and limit < (large := next_ring_record_bytes(address)) <= left:
            self._guest.grow(large)
            offsets, _, size = self._walker.walk(address, large)
        return _Chunk(size, len(offsets), starts=offsets - np.uint32(RING_HEADER_BYTES))

    def _check_progress(self, chunk: _Chunk, output: Output) -> None:
        """Raise `InvalidOutput` unless the guest processed whole records, and at least one."""
        consumed = output.consumed
        if consumed == chunk.size:
            return
        if chunk.starts is None:
            whole = not consumed % chunk.step
        else:
            place = int(np.searchsorted(chunk.starts, consumed))
            whole = place < len(chunk.starts) and int(chunk.starts[place]) == consumed
        if not consumed or not whole:
            raise InvalidOutput(
                f"the guest says that it consumed {consumed} bytes of {chunk.size}, which is not where a record ends: "
                "it must deal with whole records, and with one at least (one that alone does not fit is rejected)"
            )
