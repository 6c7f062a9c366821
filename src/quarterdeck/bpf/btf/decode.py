"""The bytes of BTF: the positions of its types, and the decoding of the record of one type.

It owns the wire format of include/uapi/linux/btf.h. It decodes one record at a time and follows no type id.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.btf.types import (
    Array,
    BtfType,
    Composite,
    DataSection,
    DeclTag,
    Enum,
    Float,
    Forward,
    Function,
    Int,
    Kind,
    Member,
    Modifier,
    Parameter,
    Placement,
    Pointer,
    Prototype,
    Variable,
)
from quarterdeck.bpf.errors import BpfError

_HEADER = struct.Struct("<HBBIIIII")
_MAGIC = 0xEB9F
_RECORD = struct.Struct("<III")  # name offset, info, size or type

#: 32-bit words that follow the record: (fixed number, number for each of the `vlen` elements in its info)
_TRAILING_WORDS = {
    Kind.INT: (1, 0),
    Kind.ARRAY: (3, 0),
    Kind.STRUCT: (0, 3),
    Kind.UNION: (0, 3),
    Kind.ENUM: (0, 2),
    Kind.PROTOTYPE: (0, 2),
    Kind.VARIABLE: (1, 0),
    Kind.DATA_SECTION: (0, 3),
    Kind.DECL_TAG: (1, 0),
    Kind.ENUM64: (0, 3),
}


class BtfError(BpfError):
    """The bytes are not BTF that can be read here, or it has no such type."""


class Parts(NamedTuple):
    """The positions of the two parts of BTF: offsets and sizes in bytes."""

    types_at: int
    types_size: int
    strings_at: int
    strings_size: int


def read_header(data: bytes) -> Parts:
    """Return where types and strings are in `data`. Raise `BtfError` unless it is whole little-endian BTF version 1."""
    if data[:2] == b"\xeb\x9f":
        raise BtfError("expected little-endian BTF, found big-endian: it was made for another kind of machine")
    if len(data) < _HEADER.size:
        raise BtfError(f"expected a BTF header of {_HEADER.size} bytes, found {len(data)} bytes")
    magic, version, _, header, types_at, types_size, strings_at, strings_size = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != 1:
        raise BtfError(f"expected BTF ({_MAGIC:#x}) version 1, found {magic:#x} version {version}")
    end = header + max(types_at + types_size, strings_at + strings_size)
    if header < _HEADER.size or end > len(data):
        raise BtfError(f"expected {end} bytes of BTF as its header says, found {len(data)}: it is cut short or damaged")
    if types_size % 4:
        raise BtfError(f"expected BTF types in whole 32-bit words, found {types_size} bytes")
    return Parts(header + types_at, types_size, header + strings_at, strings_size)


def find_records(types: bytes) -> NDArray[np.int64]:
    """Return the byte offset of each record. The distances are computed for all words at once, then followed."""
    words = np.frombuffer(types, dtype="<u4")
    always, each = np.zeros(32, dtype=np.int32), np.zeros(32, dtype=np.int32)
    for kind, (fixed, repeated) in _TRAILING_WORDS.items():
        always[kind], each[kind] = fixed, repeated
    info = words[1:]
    kinds = (info >> 24).astype(np.uint8) & 0x1F
    lengths = 3 + always[kinds] + each[kinds] * (info & 0xFFFF).astype(np.int32)
    lengths[(kinds == 0) | (kinds > max(Kind))] = 0
    starts: list[int] = []
    step, at, end = lengths.data, 0, len(words)
    while at < end - 2:
        length = step[at]
        if length == 0:
            raise BtfError(f"expected a known kind of type as number {len(starts) + 1}, found {int(kinds[at])}")
        starts.append(at)
        at += length
    if at != end:
        raise BtfError(f"expected type number {len(starts)} to end by byte {end * 4}, found its end at {at * 4}")
    return np.array(starts, dtype=np.int64) * 4


class _Record(NamedTuple):
    name: str
    kind: Kind
    #: size in bytes or id of another type, depending on the kind
    size: int
    vlen: int
    flag: bool
    words: tuple[int, ...]
    read_name: Callable[[int], str]

    def elements(self, size: int) -> Iterator[tuple[int, ...]]:
        return zip(*(self.words[at::size] for at in range(size)), strict=True)


def decode_type(types: bytes, start: int, read_name: Callable[[int], str]) -> BtfType:
    """Return the type whose record starts at byte `start`, which must come from `find_records`."""
    name, info, size = _RECORD.unpack_from(types, start)
    kind, vlen = Kind(info >> 24 & 0x1F), info & 0xFFFF
    always, each = _TRAILING_WORDS.get(kind, (0, 0))
    words = struct.unpack_from(f"<{always + each * vlen}I", types, start + _RECORD.size)
    return _DECODERS[kind](_Record(read_name(name), kind, size, vlen, bool(info >> 31), words, read_name))


def _int(record: _Record) -> Int:
    encoding = record.words[0]
    return Int(
        record.name,
        record.size,
        bits=encoding & 0xFF,
        bit_offset=encoding >> 16 & 0xFF,
        signed=bool(encoding >> 24 & 1),
        boolean=bool(encoding >> 24 & 4),
    )


def _composite(record: _Record) -> Composite:
    # With the flag, the offset word has 8 bits of bit-field width above 24 bits of offset.
    bits = 24 if record.flag else 32
    mask = (1 << bits) - 1
    members = (
        Member(record.read_name(name), type_id, offset & mask, offset >> bits)
        for name, type_id, offset in record.elements(3)
    )
    return Composite(record.name, record.size, tuple(members), record.kind)


def _enum(record: _Record) -> Enum:
    if record.kind is Kind.ENUM64:
        bits, pairs = 64, ((name, low | high << 32) for name, low, high in record.elements(3))
    else:
        bits, pairs = 32, ((name, value) for name, value in record.elements(2))
    values = {
        record.read_name(name): value - (1 << bits if record.flag and value >> (bits - 1) else 0)
        for name, value in pairs
    }
    return Enum(record.name, record.size, record.flag, values)


def _modifier(record: _Record) -> Modifier:
    return Modifier(record.name, record.size, record.kind)


_DECODERS: dict[Kind, Callable[[_Record], BtfType]] = {
    Kind.INT: _int,
    Kind.POINTER: lambda record: Pointer(record.size),
    Kind.ARRAY: lambda record: Array(record.words[0], record.words[2]),
    Kind.STRUCT: _composite,
    Kind.UNION: _composite,
    Kind.ENUM: _enum,
    Kind.FORWARD: lambda record: Forward(record.name, record.flag),
    Kind.TYPEDEF: _modifier,
    Kind.VOLATILE: _modifier,
    Kind.CONST: _modifier,
    Kind.RESTRICT: _modifier,
    Kind.FUNCTION: lambda record: Function(record.name, record.size, record.vlen),
    Kind.PROTOTYPE: lambda record: Prototype(
        record.size, tuple(Parameter(record.read_name(name), type_id) for name, type_id in record.elements(2))
    ),
    Kind.VARIABLE: lambda record: Variable(record.name, record.size, record.words[0]),
    Kind.DATA_SECTION: lambda record: DataSection(
        record.name, record.size, tuple(Placement(*element) for element in record.elements(3))
    ),
    Kind.FLOAT: lambda record: Float(record.name, record.size),
    Kind.DECL_TAG: lambda record: DeclTag(record.name, record.size, record.words[0] - (record.words[0] >> 31 << 32)),
    Kind.TYPE_TAG: _modifier,
    Kind.ENUM64: _enum,
}
