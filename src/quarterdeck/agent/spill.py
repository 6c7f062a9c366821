"""Telemetry batches on disk: segments, written when memory is short or the server unreachable, read oldest first.

A segment is one file of whole batches. Its header (ids, tables, row counts, losses) is at both ends, each copy with a
checksum, and the number of rows is in the file's name: so after damage the number of lost rows is still known. It sends
nothing; the outbox decides what is written, read and removed.

    "QDSPILL1" · size u32 · crc u32 · header · bodies · header · crc u32 · size u32 · "1LLIPSDQ"      (little-endian)
"""

from __future__ import annotations

import logging
import struct
import time
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from quarterdeck.agent.losses import LossTally
from quarterdeck.kit.damaged_files import set_aside
from quarterdeck.kit.files import sync_folder, write_private
from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.errors import BadInput
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.struct import Wire

log = logging.getLogger(__name__)

_HEAD, _TAIL = b"QDSPILL1", b"1LLIPSDQ"
_FRONT = struct.Struct("<8sII")  # magic, size, crc
_BACK = struct.Struct("<II8s")  # crc, size, magic
_SUFFIX = ".spill"
#: damaged segments that are kept for inspection
_SET_ASIDE = 8


class SpilledBatch(Wire, frozen=True, kw_only=True):
    """One batch in a segment's header: everything except its body, whose size is here."""

    batch: TelemetryBatch
    size: int


class SegmentHeader(Wire, frozen=True, kw_only=True):
    """The content of a segment."""

    body_crc: int  #: CRC-32 of all bodies, one after the other
    entries: tuple[SpilledBatch, ...]


class Segment(Wire, frozen=True, kw_only=True):
    """A segment as described by its file name and size, without opening it."""

    path: str
    epoch: str
    first: int
    last: int
    batches: int
    rows: int
    bytes: int
    created: float  #: seconds since the epoch


class DamagedSegment(BadInput):
    """A spilled file does not match its checksum."""

    def __init__(self, message: str, losses: Sequence[Loss]) -> None:
        super().__init__(message)
        self.losses = tuple(losses)  #: the rows that were in it, and the losses that it carried


class SpillFolder:
    """The segments below `folder`, in the order they were written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def segments(self) -> list[Segment]:
        """Return every segment left by an earlier run, oldest first; remove incomplete ones."""
        for half in self.folder.glob("*.new"):
            half.unlink(missing_ok=True)
        found = [segment for path in self.folder.glob(f"*{_SUFFIX}") if (segment := _describe(path)) is not None]
        born: dict[str, float] = {}
        for segment in found:
            born[segment.epoch] = min(segment.created, born.get(segment.epoch, segment.created))
        return sorted(found, key=lambda segment: (born[segment.epoch], segment.epoch, segment.first))

    def write(self, batches: Sequence[TelemetryBatch]) -> Segment:
        """Write a segment of these batches (one epoch, in order), durably. Raise `OSError` when the disk is full."""
        bodies = b"".join(batch.body for batch in batches)
        entries = tuple(
            SpilledBatch(batch=msgspec.structs.replace(batch, body=b""), size=len(batch.body)) for batch in batches
        )
        header = msgspec.msgpack.encode(SegmentHeader(body_crc=zlib.crc32(bodies), entries=entries))
        size, crc = len(header), zlib.crc32(header)
        content = b"".join((_FRONT.pack(_HEAD, size, crc), header, bodies, header, _BACK.pack(crc, size, _TAIL)))
        rows = sum(batch.rows for batch in batches)
        name = f"{batches[0].epoch}.{batches[0].seq}.{batches[-1].seq}.{len(batches)}.{rows}{_SUFFIX}"
        path = self.folder / name
        write_private(path, content)
        described = _describe(path)
        assert described is not None, f"'{name}' is not a segment's name"
        return described

    def read(self, segment: Segment) -> list[TelemetryBatch]:
        """Return the batches of a segment. Raise `DamagedSegment` with the losses; the file stays where it is."""
        try:
            content = Path(segment.path).read_bytes()
        except OSError as error:
            raise _unreadable(segment, f"it cannot be read ({error})") from error
        found = _front_header(content) or _back_header(content)
        if found is None:
            raise _unreadable(segment, "both copies of its header are damaged")
        header, header_size = found
        start = _FRONT.size + header_size
        size = sum(entry.size for entry in header.entries)
        bodies = memoryview(content)[start : start + size]
        if len(bodies) != size or zlib.crc32(bodies) != header.body_crc:
            raise DamagedSegment(f"{segment.path} does not match its checksum.", _losses(header, segment))
        batches: list[TelemetryBatch] = []
        at = 0
        for entry in header.entries:
            batches.append(msgspec.structs.replace(entry.batch, body=bytes(bodies[at : at + entry.size])))
            at += entry.size
        return batches

    def losses(self, segment: Segment, reason: LossReason, *, acknowledged: Collection[int] = ()) -> tuple[Loss, ...]:
        """Return the losses of dropping this segment: its unacknowledged rows by table, and its own losses."""
        try:
            batches = self.read(segment)
        except DamagedSegment as damage:
            return damage.losses
        entries = tuple(SpilledBatch(batch=batch, size=0) for batch in batches if batch.seq not in acknowledged)
        header = SegmentHeader(body_crc=0, entries=entries)
        return _losses(header, segment, reason)

    def remove(self, segment: Segment) -> None:
        """Delete a segment durably: all of it was acknowledged, and the server may forget its ids afterwards."""
        Path(segment.path).unlink(missing_ok=True)
        sync_folder(self.folder)

    def set_aside(self, segment: Segment) -> None:
        """Keep a damaged segment for inspection; only the latest few are kept."""
        path = Path(segment.path)
        set_aside(path, path.with_suffix(".damaged"), pattern="*.damaged", keep=_SET_ASIDE)


def _describe(path: Path) -> Segment | None:
    epoch, *numbers = path.name.removesuffix(_SUFFIX).split(".")
    if len(numbers) != 4 or not all(number.isdecimal() for number in numbers):
        log.warning("%s is not a spilled segment; it is left alone", path)
        return None
    first, last, batches, rows = map(int, numbers)
    status = path.stat()
    return Segment(
        path=str(path),
        epoch=epoch,
        first=first,
        last=last,
        batches=batches,
        rows=rows,
        bytes=status.st_size,
        created=status.st_mtime,
    )


def _front_header(content: bytes) -> tuple[SegmentHeader, int] | None:
    """Return the header at the front, and the bytes it takes there."""
    if len(content) < _FRONT.size:
        return None
    magic, size, crc = _FRONT.unpack_from(content)
    return _header(content[_FRONT.size : _FRONT.size + size], crc) if magic == _HEAD else None


def _back_header(content: bytes) -> tuple[SegmentHeader, int] | None:
    if len(content) < _BACK.size:
        return None
    crc, size, magic = _BACK.unpack_from(content, len(content) - _BACK.size)
    end = len(content) - _BACK.size
    return _header(content[max(0, end - size) : end], crc) if magic == _TAIL else None


def _header(raw: bytes, crc: int) -> tuple[SegmentHeader, int] | None:
    if zlib.crc32(raw) != crc:
        return None
    try:
        return msgspec.msgpack.decode(raw, type=SegmentHeader), len(raw)
    except msgspec.DecodeError:
        return None


def _losses(header: SegmentHeader, segment: Segment, reason: LossReason = LossReason.CORRUPT) -> tuple[Loss, ...]:
    tally = LossTally()
    for entry in header.entries:
        for carried in entry.batch.losses:
            tally.add(carried)
        if entry.batch.rows:
            tally.add(_loss(segment, reason, table=entry.batch.table, module=entry.batch.module, rows=entry.batch.rows))
    return tally.take()


def _unreadable(segment: Segment, why: str) -> DamagedSegment:
    rows = (_loss(segment, LossReason.CORRUPT, table="", module="", rows=segment.rows),) if segment.rows else ()
    return DamagedSegment(f"{segment.path} is lost: {why}.", rows)


def _loss(segment: Segment, reason: LossReason, *, table: str, module: str, rows: int) -> Loss:
    return Loss(
        table=table,
        module=module,
        reason=reason,
        rows=rows,
        time_ns=time.time_ns(),
        detail=f"spilled file {Path(segment.path).name}",
    )
