"""The BTF type graph: it finds types by name or id and follows them.

A kernel has over a hundred thousand types, so opening a graph only finds the start and the name of each type,
column-wise; a type becomes an object when it is requested. An id or a chain of types that leads outside or in a circle
is a `BtfError`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from quarterdeck.bpf.btf.decode import BtfError, decode_type, find_records, read_header
from quarterdeck.bpf.btf.types import (
    Array,
    BtfType,
    Composite,
    Enum,
    Float,
    Int,
    Kind,
    Modifier,
    Pointer,
    Prototype,
    Void,
)
from quarterdeck.bpf.strings import StringTable

KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")
#: longest chain of typedefs, qualifiers, arrays and structs that is followed; real ones have fewer than twenty
MAX_DEPTH = 64


def endless(type_id: int) -> BtfError:
    """Return the error for a type with endless parts."""
    return BtfError(f"expected types nested at most {MAX_DEPTH} deep, found more: type {type_id} is part of a circle")


class Btf:
    """The types of one eBPF object or kernel, from the bytes of its `.BTF` section."""

    def __init__(self, data: bytes) -> None:
        parts = read_header(data)
        self._types = data[parts.types_at : parts.types_at + parts.types_size]
        self._strings = StringTable(data[parts.strings_at : parts.strings_at + parts.strings_size])
        self._starts = find_records(self._types)
        words = np.frombuffer(self._types, dtype="<u4")
        # One entry for each type, including the void type 0: the offset of its name, and its kind.
        self._names = np.insert(words[self._starts // 4], 0, 0)
        self._kinds = np.insert(words[self._starts // 4 + 1] >> 24 & 0x1F, 0, 0).astype(np.uint8)
        self._decoded: dict[int, BtfType] = {0: Void()}

    @classmethod
    def kernel(cls, path: Path = KERNEL_BTF) -> Self:
        """Return the types of the running kernel. Raise `BtfError` when it provides none."""
        try:
            return cls(path.read_bytes())
        except OSError as error:
            found = f"{error.strerror}: was it built without CONFIG_DEBUG_INFO_BTF?"
            raise BtfError(f"expected the kernel's types in {path}, found {found}") from error

    def __len__(self) -> int:
        """Return the number of types including void. Ids run from 0 to one less."""
        return len(self._names)

    def ids(self, *kinds: Kind) -> list[int]:
        """Return the ids of all types of these kinds, in order."""
        found: list[int] = np.flatnonzero(np.isin(self._kinds, kinds)).tolist()
        return found

    def find(self, name: str, *kinds: Kind) -> int | None:
        """Return the id of the first type of one of these kinds called `name` (without `struct`, `union` or `enum`)."""
        named = np.isin(self._names, self._strings.offsets(name)) & np.isin(self._kinds, kinds)
        return int(named.argmax()) if named.any() else None

    def find_composite(self, name: str) -> int | None:
        """Return the id of the struct or union called `name`, directly or by a typedef."""
        found = self.find(name, Kind.STRUCT, Kind.UNION)
        if found is not None:
            return found
        found = self.find(name, Kind.TYPEDEF)
        return found if found is not None and isinstance(self.resolve(found), Composite) else None

    def type(self, type_id: int) -> BtfType:
        """Return the type with the number `type_id`."""
        known = self._decoded.get(type_id)
        if known is None:
            if not 0 < type_id < len(self):
                raise BtfError(f"expected a type id below {len(self)}, found {type_id}: the BTF is damaged")
            known = decode_type(self._types, int(self._starts[type_id - 1]), self._read_name)
            self._decoded[type_id] = known
        return known

    def _read_name(self, offset: int) -> str:
        if offset and offset >= len(self._strings):
            raise BtfError(f"expected a name within {len(self._strings)} bytes of strings, found offset {offset}")
        return self._strings.get(offset)

    def resolve(self, type_id: int) -> BtfType:
        """Return the type behind all typedefs, qualifiers and type tags of `type_id`."""
        at = type_id
        for _ in range(MAX_DEPTH):
            found = self.type(at)
            if not isinstance(found, Modifier):
                return found
            at = found.target
        raise endless(type_id)

    def size(self, type_id: int) -> int:
        """Return the size in bytes of a value of this type.

        Raise `BtfError` if it has none (void, functions, forwards).
        """
        at, count = type_id, 1
        for _ in range(MAX_DEPTH):
            match self.resolve(at):
                case Array() as array:
                    count *= array.count
                    at = array.element
                case Pointer():
                    return count * 8
                case Int() | Float() | Composite() | Enum() as sized:
                    return count * sized.size
                case _:
                    raise BtfError(f"expected a type with a size, found {self.spell(type_id)!r}")
        raise endless(type_id)

    def spell(self, type_id: int) -> str:
        """Return the type in C's notation, by its outermost typedef: `pid_t`, `in6_addr`, `u8[16]`, `task_struct *`."""
        at, dimensions, outer = type_id, "", ""
        for _ in range(MAX_DEPTH):
            match self.type(at):
                case Modifier() as modifier if modifier.kind is not Kind.TYPEDEF:
                    at = modifier.target
                case Array() as array:
                    dimensions += f"[{array.count or ''}]"
                    at = array.element
                case Pointer() as pointer:
                    dimensions, outer = "", " *" + (dimensions + outer).lstrip()
                    at = pointer.target
                case Prototype():
                    return f"function{dimensions}{outer}"
                case Composite(name="") as anonymous:
                    return f"{anonymous.kind.name.lower()}{dimensions}{outer}"
                case named:
                    return f"{named.name or 'enum'}{dimensions}{outer}"
        raise endless(type_id)
