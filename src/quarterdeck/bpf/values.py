"""Values for C variables: the conversion of a user's value (`--set min_us=100`, TOML, JSON) to the bytes of its C type.

It owns the conversion and its checks: text is read according to the type, and a value that does not fit is a
`ValueMismatch` that states the valid values. It never changes an object; `VariableDeclaration` has the place of the
bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from quarterdeck.bpf.errors import BpfError
from quarterdeck.bpf.layout import Field, FieldKind, Layout

#: value of a variable: numbers and texts, lists for arrays, mappings by member name for structs
Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value]"


class ValueMismatch(BpfError):
    """The value does not fit the C type."""


def pack(layout: Layout, value: Value, initial: bytes = b"") -> bytes:
    """Return the bytes of `value` in `layout`. Omitted parts (members, the end of an array) are those of `initial`.

    Text is accepted for every kind: `10`, `0x0a`, `true`, an enum's name, `1,2,3` for an array, hex for bytes.
    """
    content = bytearray(initial.ljust(layout.size, b"\0"))
    for path, leaf in _leaves(layout, (), value):
        field = layout.by_name.get(".".join(path) or "value")
        if field is None:
            known = ", ".join(layout.by_name) or "none"
            raise ValueMismatch(f"expected a member of {layout.type_name!r} ({known}), found {'.'.join(path)!r}")
        _write(content, field, leaf)
    return bytes(content)


def _leaves(layout: Layout, path: tuple[str, ...], value: Value) -> Iterator[tuple[tuple[str, ...], Value]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(layout, (*path, *name.split(".")), inner)
    elif isinstance(value, list | tuple) and (".".join(path) or "value") not in layout.by_name:
        for index, inner in enumerate(value):
            yield from _leaves(layout, (*path, str(index)), inner)
    else:
        yield path, value


def _write(content: bytearray, field: Field, value: Value) -> None:
    start, end = field.offset, field.offset + field.size
    if field.kind is FieldKind.BITFIELD:
        mask = (1 << field.width) - 1
        number = _integer(field, value, bits=field.width)
        unit = int.from_bytes(content[start:end], "little")
        unit = unit & ~(mask << field.shift) | (number & mask) << field.shift
        content[start:end] = unit.to_bytes(field.size, "little")
    elif field.kind is FieldKind.ARRAY:
        element = field.size // field.count
        for index, item in enumerate(_items(field, value)):
            packed = _scalar(field, field.element or FieldKind.BYTES, item, size=element)
            content[start + index * element : start + (index + 1) * element] = packed
    else:
        content[start:end] = _scalar(field, field.kind, value, size=field.size)


def _items(field: Field, value: Value) -> Sequence[Value]:
    items = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise _mismatch(field, f"up to {field.count} elements", value)
    if len(items) > field.count:
        raise _mismatch(field, f"up to {field.count} elements", f"{len(items)} elements")
    return items


def _scalar(field: Field, kind: FieldKind, value: Value, *, size: int) -> bytes:
    match kind:
        case FieldKind.BOOL:
            return bytes([_boolean(field, value)])
        case FieldKind.FLOAT:
            return _float(field, value, size=size)
        case FieldKind.CHARS:
            return _text(field, value, size=size)
        case FieldKind.BYTES | FieldKind.ARRAY | FieldKind.BITFIELD:
            return _opaque(field, value, size=size)
        case FieldKind.INT | FieldKind.UINT | FieldKind.ENUM:
            return _integer(field, value, bits=size * 8).to_bytes(size, "little", signed=field.signed)


def _boolean(field: Field, value: Value) -> bool:
    known: dict[object, bool] = {"true": True, "1": True, 1: True, "false": False, "0": False, 0: False}
    found = value.strip().lower() if isinstance(value, str) else value
    if isinstance(found, str | int) and found in known:
        return known[found]
    raise _mismatch(field, "true or false", value)


def _integer(field: Field, value: Value, *, bits: int) -> int:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if field.signed else (0, (1 << bits) - 1)
    wanted = f"a whole number from {low} to {high}"
    names: Mapping[str, int] = field.enum or {}
    if names:
        wanted += f" or one of {', '.join(names)}"
    number = value
    if isinstance(number, str):
        try:
            number = names[number] if number in names else int(number, 0)
        except ValueError:
            raise _mismatch(field, wanted, value) from None
    if not isinstance(number, int) or not low <= number <= high:
        raise _mismatch(field, wanted, value)
    return int(number)


def _float(field: Field, value: Value, *, size: int) -> bytes:
    if not isinstance(value, str | int | float):
        raise _mismatch(field, "a number", value)
    try:
        return struct.pack({2: "<e", 4: "<f", 8: "<d"}[size], float(value))
    except (ValueError, OverflowError):
        raise _mismatch(field, f"a number that fits {size} bytes", value) from None


def _text(field: Field, value: Value, *, size: int) -> bytes:
    text = value.encode() if isinstance(value, str) else value
    if not isinstance(text, bytes) or len(text) >= size:
        raise _mismatch(field, f"text of at most {size - 1} bytes", value)
    return text.ljust(size, b"\0")


def _opaque(field: Field, value: Value, *, size: int) -> bytes:
    try:
        content = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else value
        if isinstance(content, list | tuple):
            content = bytes(_integer(field, item, bits=8) for item in content)
    except ValueError:
        raise _mismatch(field, f"at most {size} bytes in hex", value) from None
    if not isinstance(content, bytes) or len(content) > size:
        raise _mismatch(field, f"at most {size} bytes in hex", value)
    return content.ljust(size, b"\0")


def _mismatch(field: Field, expected: str, found: object) -> ValueMismatch:
    return ValueMismatch(f"expected {expected} for {field.name!r} ({field.type_name}), found {found!r}")
