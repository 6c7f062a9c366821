"""What a child printed and nobody has acknowledged yet: in memory while it is little, else in files, oldest first.

    head (to be sent next) · pieces (files of about PIECE_BYTES) · tail (newest)         sent: not acknowledged yet

Bounded: when the files reach their limit the oldest is dropped, and a record in its place says how many bytes of which
stream were lost. Records are numbered from 1; a number is never used twice. Knows nothing of sockets and processes.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from contextlib import suppress

#: stream of a record that says what was lost; 1 is standard output and 2 standard error
LOST = 0

#: the newest records, in memory, until they are so many that they become a file
PIECE_BYTES = 64 * 1024
#: sent and not acknowledged; more is not sent
WINDOW_BYTES = 256 * 1024
#: nor more records than this: small ones need more memory than they have bytes
WINDOW_RECORDS = 4096
#: what is read in small bits becomes records of up to this size
JOINED_BYTES = 4096

#: added to the numbers of what another keeper left: those it gave to what was only in its memory are not used again
ADOPTED = 1 << 40

_RECORD = struct.Struct("<QBQI")  # number, stream, offset, size
_LOST = struct.Struct("<QQ")  # bytes of standard output and of standard error


class Record:
    """Bytes of one stream, as they were read; or, when the stream is LOST, how many were lost here.

    `offset`: of the first byte in its stream, lost bytes counted.
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
            out, err = _LOST.unpack(self.data)
            return out, err
        return (len(self.data), 0) if self.stream == 1 else (0, len(self.data))

    @property
    def size(self) -> int:
        """Bytes it takes in a file."""
        return _RECORD.size + len(self.data)


class _Piece:
    """Records that are in a file, or were: `number` 0 says that they are lost."""

    __slots__ = ("counts", "last_seq", "number", "size")

    def __init__(self, number: int, last_seq: int, size: int = 0) -> None:
        self.number = number
        self.last_seq = last_seq
        self.size = size
        self.counts: tuple[int, int] = (0, 0)  #: bytes of standard output and of standard error

    def count(self, record: Record) -> None:
        """One of its records is this one."""
        out, err = record.counts
        self.counts = (self.counts[0] + out, self.counts[1] + err)


class Backlog:
    """The records of one child. `folder` is made when it is first needed."""

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._seq = 0
        self._offsets = [0, 0]
        self._head: deque[Record] = deque()
        self._sent: deque[Record] = deque()
        self._tail: deque[Record] = deque()
        self._pieces: deque[_Piece] = deque()
        self._numbers = 0
        self._made = False  # the folder
        self._sent_bytes = self._tail_bytes = 0
        self.disk_bytes = 0

    @property
    def empty(self) -> bool:
        """Whether everything has been sent."""
        return not (self._head or self._pieces or self._tail)

    @property
    def acknowledged(self) -> bool:
        """Whether everything was sent and acknowledged."""
        return self.empty and not self._sent

    @property
    def full(self) -> bool:
        """Whether one more file would make the oldest go."""
        return self.disk_bytes + PIECE_BYTES > self._limit

    @property
    def last_seq(self) -> int:
        """The number of the newest record."""
        return self._seq

    @property
    def offsets(self) -> tuple[int, int]:
        """Bytes of standard output and of standard error that came, lost ones counted."""
        return self._offsets[0], self._offsets[1]

    def put(self, stream: int, data: bytes) -> None:
        """Keep what was read of a stream."""
        last = self._tail[-1] if self._tail else None
        if last is not None and last.stream == stream and len(last.data) + len(data) <= JOINED_BYTES:
            last.data += data  # nobody has seen it yet
            self._tail_bytes += len(data)
        else:
            self._seq += 1
            record = Record(self._seq, stream, self._offsets[stream - 1], data)
            self._tail.append(record)
            self._tail_bytes += record.size
        self._offsets[stream - 1] += len(data)
        if self._tail_bytes >= PIECE_BYTES:
            self._write_tail()

    def next(self) -> Record | None:
        """The record to send now; None when there is none, or too much is not acknowledged."""
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
            self._sent_bytes -= len(self._sent.popleft().data)

    def rewind(self) -> None:
        """Another agent listens: what was not acknowledged is sent again."""
        self._head = self._sent + self._head
        self._sent = deque()
        self._sent_bytes = 0

    def spill(self) -> None:
        """Write all that is not acknowledged into one file, for the next keeper."""
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
        if self._tail:
            self._write_tail()

    def adopt(self) -> None:
        """Take over the files that an earlier keeper left; what it had in memory is lost with it."""
        self._made = True
        try:
            numbers = sorted(int(name) for name in os.listdir(self._folder) if name.isdecimal())  # noqa: PTH208
        except FileNotFoundError:
            numbers = []
        for number in numbers:
            piece = _Piece(number, self._seq)
            for record in self._read(number):
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

    def _fill_head(self) -> None:
        if not self._pieces:
            self._head, self._tail, self._tail_bytes = self._tail, deque(), 0
            return
        piece = self._pieces.popleft()
        records = self._read(piece.number) if piece.number else []
        if records:
            self._head.extend(records)
        else:
            self._head.append(Record(piece.last_seq, LOST, 0, _LOST.pack(*piece.counts)))
        self._unlink(piece)

    def _write_tail(self) -> None:
        piece = _Piece(self._numbers + 1, self._tail[-1].seq, self._tail_bytes)
        parts: list[bytes] = []
        for record in self._tail:
            piece.count(record)
            parts += (_RECORD.pack(record.seq, record.stream, record.offset, len(record.data)), record.data)
        self._tail.clear()
        self._tail_bytes = 0
        while self.disk_bytes + piece.size > self._limit and self.disk_bytes:
            self._drop_oldest()
        path = f"{self._folder}/{piece.number}"
        self._made = True
        try:
            os.makedirs(self._folder, 0o700, exist_ok=True)  # noqa: PTH103 (pathlib costs memory)
            with open(path, "wb", buffering=0, opener=_private) as file:
                written = file.write(b"".join(parts))
            if written != piece.size:
                raise OSError("the disk is full")
            self._numbers = piece.number
            self.disk_bytes += piece.size
            self._pieces.append(piece)
        except OSError:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            self._lose(len(self._pieces), piece)

    def _drop_oldest(self) -> None:
        at = 0 if self._pieces[0].number else 1
        piece = self._pieces[at]
        del self._pieces[at]
        self._unlink(piece)
        self._lose(at, piece)

    def _lose(self, at: int, piece: _Piece) -> None:
        """Say at this place that the piece is lost; two such places side by side become one."""
        gone = self._pieces[at - 1] if at else _Piece(1, 0)
        if gone.number:
            gone = _Piece(0, 0)
            self._pieces.insert(at, gone)
        gone.last_seq = piece.last_seq
        gone.counts = (gone.counts[0] + piece.counts[0], gone.counts[1] + piece.counts[1])

    def _unlink(self, piece: _Piece) -> None:
        if piece.number:
            self.disk_bytes -= piece.size
            try:
                os.unlink(f"{self._folder}/{piece.number}")  # noqa: PTH108
            except FileNotFoundError:
                return

    def _read(self, number: int) -> list[Record]:
        """The whole records of a file; none when it cannot be read."""
        try:
            with open(f"{self._folder}/{number}", "rb", buffering=0) as file:  # noqa: PTH123
                content = file.read()
        except OSError:
            return []
        records: list[Record] = []
        at = 0
        while at + _RECORD.size <= len(content):
            seq, stream, offset, size = _RECORD.unpack_from(content, at)
            data = content[at + _RECORD.size : at + _RECORD.size + size]
            if stream not in (LOST, 1, 2) or len(data) != size or (stream == LOST and size != _LOST.size):
                break
            records.append(Record(seq, stream, offset, data))
            at += _RECORD.size + size
        return records


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
