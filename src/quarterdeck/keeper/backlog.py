"""The unacknowledged output of one child, oldest first: in memory while it is small, else in files.

    head (to be sent next) · pieces (files of about PIECE_BYTES) · tail (newest)         sent: not acknowledged yet

The size is limited. When the files reach their limit, the oldest one is dropped, and a record in its place states how
many bytes of which stream were lost, and why. A caller that adds nothing while the backlog is `full` loses nothing.
While an agent is connected, the limit is a time: the backlog is `crowded` when it holds more than is acknowledged
within WAIT_S, however short the lines are. Records are numbered from 1, and no number is used twice. This module knows
nothing about sockets and processes.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections import deque
from contextlib import suppress

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

#: stream of a record that says what was lost; 1 is standard output and 2 standard error
LOST = 0

#: the newest records, in memory, until they are so many that they become a file
PIECE_BYTES = 64 * 1024
#: the most bytes that are put at once
PUT_BYTES = 64 * 1024
#: the most bytes in memory while no file can be written
MEMORY_BYTES = 256 * 1024
#: sent and not acknowledged; more is not sent
WINDOW_BYTES = 256 * 1024
#: nor more records than this: small ones need more memory than they have bytes
WINDOW_RECORDS = 4096
#: how long a byte should wait for its acknowledgement while an agent is connected
WAIT_S = 0.15
#: limits of what waits then, which follows from the time; beyond it the pipe stays full, and after a kill it is left
CROWDED_LEAST_BYTES, CROWDED_MOST_BYTES = 16 * 1024, 512 * 1024
#: what is read in small bits becomes records of up to this size
JOINED_BYTES = 4096

#: added to the numbers of what another keeper left: those it gave to what was only in its memory are not used again
ADOPTED = 1 << 40

_RECORD = struct.Struct("<QBQI")  # number, stream, offset, size
_LOST = struct.Struct("<QQ")  # bytes of standard output and of standard error, then the reason in words


class Record:
    """Bytes of one stream, as they were read; or, when the stream is LOST, the number of lost bytes.

    `offset`: the offset of the first byte in its stream; lost bytes are counted.
    """

    __slots__ = ("data", "offset", "seq", "stream")

    def __init__(self, seq: int, stream: int, offset: int, data: bytes) -> None:
        self.seq = seq
        self.stream = stream
        self.offset = offset
        self.data = data

    @property
    def counts(self) -> tuple[int, int]:
        """Bytes of standard output and of standard error that it has, or says are lost."""
        if self.stream == LOST:
            out, err = _LOST.unpack_from(self.data)
            return out, err
        return (len(self.data), 0) if self.stream == 1 else (0, len(self.data))

    @property
    def why(self) -> str:
        """Return the reason of the loss that the record counts; empty if it holds bytes."""
        return self.data[_LOST.size :].decode() if self.stream == LOST else ""

    @property
    def size(self) -> int:
        """Bytes it takes in a file."""
        return _RECORD.size + len(self.data)


class _Piece:
    """Records of one file. `number` 0 means that they are lost, and `why` gives the reason."""

    __slots__ = ("counts", "last_seq", "number", "size", "why")

    def __init__(self, number: int, last_seq: int, size: int = 0) -> None:
        self.number = number
        self.last_seq = last_seq
        self.size = size
        self.counts: tuple[int, int] = (0, 0)  #: bytes of standard output and of standard error
        self.why = ""

    def count(self, record: Record) -> None:
        """Count a record."""
        out, err = record.counts
        self.counts = (self.counts[0] + out, self.counts[1] + err)


class Backlog:
    """The records of one child. `folder` is created when it is first needed. `clock`: monotonic seconds."""

    def __init__(self, folder: str, limit_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._folder = folder
        self._limit = limit_bytes
        self._seq = 0
        self._offsets = [0, 0]
        self._acknowledged = [0, 0]  # how much of each stream is
        self._crowd = 4 * CROWDED_LEAST_BYTES  # so much may wait for a connected agent
        self._probe: tuple[int, float] | None = None  # a record's number, and when it was put, monotonic
        self._limited = False  # by `_crowd`, since the probe was put
        self._head: deque[Record] = deque()
        self._sent: deque[Record] = deque()
        self._tail: deque[Record] = deque()
        self._pieces: deque[_Piece] = deque()
        self._numbers = 0
        self._made = False  # the folder
        self._sent_bytes = self._tail_bytes = 0
        self._refusal = ""  # the last error of the disk, in words
        self.disk_bytes = 0

    @property
    def empty(self) -> bool:
        """Return whether everything has been sent."""
        return not (self._head or self._pieces or self._tail)

    @property
    def acknowledged(self) -> bool:
        """Return whether everything was sent and acknowledged."""
        return self.empty and not self._sent

    @property
    def full(self) -> bool:
        """Return whether the next record could cause a loss, because it and the records in memory may become one file.

        Then the oldest file goes when there is no room for it, or the disk refuses it, as it refused the last.
        """
        if self._tail_bytes >= PIECE_BYTES:
            return True
        return self.disk_bytes > 0 and self.disk_bytes + self._tail_bytes + _RECORD.size + PUT_BYTES > self._limit

    @property
    def crowded(self) -> bool:
        """Return whether so much waits for a connected agent that the child must be slowed down."""
        if self.full:
            return True
        crowded = not self.acknowledged and self._waiting_bytes >= self._crowd
        self._limited = self._limited or crowded
        return crowded

    @property
    def wanted_bytes(self) -> int:
        """Return how many bytes to read at once, so that the backlog stays near its limit."""
        return min(PUT_BYTES, max(CROWDED_LEAST_BYTES, self._crowd - self._waiting_bytes))

    @property
    def last_seq(self) -> int:
        """Return the number of the newest record."""
        return self._seq

    @property
    def offsets(self) -> tuple[int, int]:
        """Bytes of standard output and of standard error that came, lost ones counted."""
        return self._offsets[0], self._offsets[1]

    def put(self, stream: int, data: bytes) -> None:
        """Keep what was read of a stream, PUT_BYTES at most; nothing is lost unless the backlog is `full`."""
        last = self._tail[-1] if self._tail else None
        if last is not None and last.stream == stream and len(last.data) + len(data) <= JOINED_BYTES:
            last.data += data  # nobody has seen it yet
            self._tail_bytes += len(data)
        else:
            self._seq += 1
            record = Record(self._seq, stream, self._offsets[stream - 1], data)
            self._tail.append(record)
            self._tail_bytes += record.size
        if self._probe is None:
            self._probe, self._limited = (self._seq, self._clock()), False
        self._offsets[stream - 1] += len(data)
        if self._tail_bytes >= PIECE_BYTES and not self._write_tail() and self._tail_bytes >= MEMORY_BYTES:
            piece = self._cut_tail()
            self._lose(len(self._pieces), piece, f"they could not be written to the disk ({self._refusal})")

    def next(self) -> Record | None:
        """Return the record to send now; None when there is none, or too much is not acknowledged."""
        if self._sent_bytes >= WINDOW_BYTES or len(self._sent) >= WINDOW_RECORDS:
            return None
        if not self._head:
            self._fill_head()
        if not self._head:
            return None
        record = self._head.popleft()
        self._sent.append(record)
        self._sent_bytes += len(record.data)
        return record

    def acknowledge(self, seq: int) -> None:
        """Everything up to `seq` has arrived for good."""
        while self._sent and self._sent[0].seq <= seq:
            record = self._sent.popleft()
            self._sent_bytes -= len(record.data)
            if record.stream == LOST:
                out, err = record.counts
                self._acknowledged = [self._acknowledged[0] + out, self._acknowledged[1] + err]
            else:
                self._acknowledged[record.stream - 1] = record.offset + len(record.data)
        if self._probe is not None and self._probe[0] <= seq:
            self._adapt(self._clock() - self._probe[1])
            self._probe = None

    def rewind(self) -> None:
        """Another agent listens: what was not acknowledged is sent again."""
        self._probe = None
        self._head = self._sent + self._head
        self._sent = deque()
        self._sent_bytes = 0

    def spill(self) -> bool:
        """Write all that is not acknowledged into one file for the next keeper. Return whether the disk took it."""
        self.rewind()
        waiting = list(self._head)
        while self._pieces:
            self._head.clear()
            self._fill_head()
            waiting += self._head
        waiting += self._tail
        self._head.clear()
        self._tail = deque(waiting)
        self._tail_bytes = sum(record.size for record in self._tail)
        return not self._tail or self._write_tail()

    def adopt(self) -> None:
        """Take over the files that an earlier keeper left; what it had in memory is lost with it."""
        self._made = True
        try:
            numbers = sorted(int(name) for name in os.listdir(self._folder) if name.isdecimal())  # noqa: PTH208
        except FileNotFoundError:
            numbers = []
        for number in numbers:
            piece = _Piece(number, self._seq)
            try:
                records = self._read(number)
            except OSError:
                self._pieces.append(piece)  # it may be readable later
                continue
            for record in records:
                piece.last_seq = self._seq = record.seq
                piece.count(record)
                piece.size += record.size
                if record.stream != LOST:
                    self._offsets[record.stream - 1] = record.offset + len(record.data)
            self._numbers = number
            self.disk_bytes += piece.size
            if piece.size:
                self._pieces.append(piece)
            else:  # its keeper died before anything was in it
                self._unlink(piece)
        self._seq += ADOPTED

    def remove(self) -> None:
        """Remove the files that are left, and the folder."""
        while self._pieces:
            self._unlink(self._pieces.popleft())
        if self._made:
            with suppress(OSError):
                os.rmdir(self._folder)  # noqa: PTH106

    @property
    def _waiting_bytes(self) -> int:
        """Bytes of both streams that are not acknowledged."""
        return sum(self._offsets) - sum(self._acknowledged)

    def _adapt(self, waited_s: float) -> None:
        """Allow as much to wait as is acknowledged in WAIT_S: `waited_s` is how long a record has just waited."""
        if waited_s > WAIT_S:
            self._crowd = max(CROWDED_LEAST_BYTES, int(self._crowd * WAIT_S / waited_s))
        elif self._limited:
            self._crowd = min(CROWDED_MOST_BYTES, 2 * self._crowd)

    def _fill_head(self) -> None:
        if not self._pieces:
            self._head, self._tail, self._tail_bytes = self._tail, deque(), 0
            return
        piece = self._pieces.popleft()
        try:
            records = self._read(piece.number) if piece.number else []
        except OSError as error:
            records, piece.why = [], f"the file in which they waited cannot be read ({error.strerror})"
        if not records:
            why = piece.why or "the file in which they waited is damaged"
            records = [Record(piece.last_seq, LOST, 0, _LOST.pack(*piece.counts) + why.encode())]
        self._head.extend(records)
        self._unlink(piece)

    def _write_tail(self) -> bool:
        """Move what is in memory to a file; return False, and keep it in memory, when the disk refuses."""
        size = self._tail_bytes
        while self.disk_bytes + size > self._limit and self.disk_bytes:
            self._drop_oldest(f"more than {self._limit} bytes waited for the agent")
        path = f"{self._folder}/{self._numbers + 1}"
        self._made = True
        parts: list[bytes] = []
        for record in self._tail:
            parts += (_RECORD.pack(record.seq, record.stream, record.offset, len(record.data)), record.data)
        try:
            os.makedirs(self._folder, 0o700, exist_ok=True)  # noqa: PTH103 (pathlib costs memory)
            with open(path, "wb", buffering=0, opener=_private) as file:
                if file.write(b"".join(parts)) != size:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._refusal = error.strerror or str(error)
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            return False
        self._numbers += 1
        self.disk_bytes += size
        piece = self._cut_tail()
        piece.number = self._numbers
        self._pieces.append(piece)
        return True

    def _cut_tail(self) -> _Piece:
        """Take the records that are in memory out of it."""
        piece = _Piece(0, self._tail[-1].seq, self._tail_bytes)
        for record in self._tail:
            piece.count(record)
        self._tail.clear()
        self._tail_bytes = 0
        return piece

    def _drop_oldest(self, why: str) -> None:
        at = 0 if self._pieces[0].number else 1
        piece = self._pieces[at]
        del self._pieces[at]
        self._unlink(piece)
        self._lose(at, piece, why)

    def _lose(self, at: int, piece: _Piece, why: str) -> None:
        """Replace the piece by a record that it is lost, and why; two adjacent records become one."""
        gone = self._pieces[at - 1] if at else _Piece(1, 0)
        if gone.number:
            gone = _Piece(0, 0)
            self._pieces.insert(at, gone)
        gone.last_seq = piece.last_seq
        gone.counts = (gone.counts[0] + piece.counts[0], gone.counts[1] + piece.counts[1])
        if why not in gone.why:
            gone.why = f"{gone.why}; {why}" if gone.why else why

    def _unlink(self, piece: _Piece) -> None:
        if piece.number:
            self.disk_bytes -= piece.size
            with suppress(OSError):  # a later keeper removes it
                os.unlink(f"{self._folder}/{piece.number}")  # noqa: PTH108

    def _read(self, number: int) -> list[Record]:
        """Return the complete records of a file. Raise `OSError` when it cannot be read."""
        with open(f"{self._folder}/{number}", "rb", buffering=0) as file:  # noqa: PTH123
            content = file.read()
        records: list[Record] = []
        at = 0
        while at + _RECORD.size <= len(content):
            seq, stream, offset, size = _RECORD.unpack_from(content, at)
            data = content[at + _RECORD.size : at + _RECORD.size + size]
            if stream not in (LOST, 1, 2) or len(data) != size or (stream == LOST and size < _LOST.size):
                break
            records.append(Record(seq, stream, offset, data))
            at += _RECORD.size + size
        return records


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
