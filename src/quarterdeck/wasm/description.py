"""A guest's description of itself: the input it accepts, the columns it returns and the settings it has.

`quarterdeck.h` generates the text (authors in other languages write it), and the host reads it from the guest's memory,
so that the columns and settings of a transform are declared only once. Each line states one fact. Words are separated
by one space, and lines end with a newline or a NUL:

    abi 1
    record 64 struct event            or: payload            or: entry 8 24 struct key, struct value
    layout ring                       none: all layouts that are possible for its records
    column uint64 time
    column list<uint64> stack
    setting uint32 min_bytes 512

This module owns the grammar and never touches a wasm instance.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any, Literal

import msgspec
import numpy as np

from quarterdeck.wasm.errors import InvalidGuest

ABI = 1
DESCRIPTION_LIMIT_BYTES = 64 * 1024
COLUMN_LIMIT = 1024
RECORD_LIMIT_BYTES = 999_999  # the limit of the six digits that quarterdeck.h writes

_Types = dict[str, np.dtype[Any]]

#: types of settings
NUMBER_TYPES: _Types = {
    name: np.dtype(name)
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
} | {"bool": np.dtype("uint8")}  # one byte a value; any value but zero is true
#: types whose values have a fixed size, with the numpy type of a value
FIXED_TYPES: _Types = NUMBER_TYPES | {
    "timestamp_ns": np.dtype("int64"),
    "duration_ns": np.dtype("int64"),
    "ipv4": np.dtype("uint32"),  # host order: 127.0.0.1 is 0x7f000001
    "ipv6": np.dtype(("uint8", 16)),
    "ip": np.dtype(("uint8", 16)),  # IPv4 as ::ffff:a.b.c.d
    "mac": np.dtype("uint64"),  # the first octet highest
}
#: types whose values differ in length, with the numpy type of one item
VARYING_TYPES: _Types = {"string": np.dtype("uint8"), "binary": np.dtype("uint8"), "json": np.dtype("uint8")} | {
    f"list<{name}>": dtype for name, dtype in NUMBER_TYPES.items() if name != "bool"
}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)


class Layout(IntEnum):
    """The layout of records in a span. The numbers are part of the ABI."""

    RECORDS = 0  #: packed records of one size
    RING = 1  #: a BPF ring buffer: 8-byte headers, payloads padded to 8 bytes
    PERF = 2  #: a perf buffer: perf_event_header, then PERF_SAMPLE_RAW or PERF_RECORD_LOST
    ENTRIES = 3  #: map entries, packed: a key followed by its value


_Kind = Literal["record", "payload", "entry"]
_LAYOUTS: dict[_Kind, tuple[Layout, ...]] = {
    "record": (Layout.RECORDS, Layout.RING, Layout.PERF),
    "payload": (Layout.RING, Layout.PERF),
    "entry": (Layout.ENTRIES,),
}


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """The records that a transform accepts, and their possible layouts.

    `sizes` has the size of a record, or of a key and a value; it is empty when payloads of any size are accepted.
    """

    kind: _Kind
    layouts: tuple[Layout, ...]
    sizes: tuple[int, ...] = ()
    type_name: str = ""


class OutputColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the table that a transform fills. `type` is uint64, float32, string, list<int64> or similar."""

    name: str
    type: str

    @property
    def varying(self) -> bool:
        """Return whether its values differ in length, and so consist of offsets and items."""
        return self.type in VARYING_TYPES

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the numpy type of a value, or of an item if values differ in length."""
        return VARYING_TYPES[self.type] if self.varying else FIXED_TYPES[self.type]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A number that the host may set before the first batch. `default` is the source text of its initial value."""

    name: str
    type: str
    default: str = ""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    input: Input
    columns: tuple[OutputColumn, ...]
    settings: tuple[Setting, ...] = ()


def parse_description(text: bytes) -> Description:
    """Return the description in `text`. Raise `InvalidGuest` with the line that is wrong."""
    facts = _facts(text)
    _check_abi(facts["abi"])
    inputs: list[tuple[_Kind, str]] = [(word, rest) for word in _LAYOUTS for rest in facts[word]]
    if len(inputs) != 1:
        raise InvalidGuest(
            f"the description has {len(inputs)} lines that say which input it takes (record, payload or entry), "
            "expected one: use one QD_TRANSFORM… in a transform"
        )
    columns = tuple(_column(rest) for rest in facts["column"])
    settings = tuple(_setting(rest) for rest in facts["setting"])
    _check_names("column", [column.name for column in columns])
    _check_names("setting", [setting.name for setting in settings])
    if not 1 <= len(columns) <= COLUMN_LIMIT:
        raise InvalidGuest(
            f"the description has {len(columns)} columns, expected 1 to {COLUMN_LIMIT}: declare them in QD_TABLE"
        )
    return Description(input=_input(*inputs[0], facts["layout"]), columns=columns, settings=settings)


def _facts(text: bytes) -> dict[str, list[str]]:
    """Return the text after each first word, in the order of the lines."""
    if len(text) > DESCRIPTION_LIMIT_BYTES:
        raise InvalidGuest(f"the description has {len(text)} bytes, the limit is {DESCRIPTION_LIMIT_BYTES}")
    try:
        lines = text.decode().replace("\0", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidGuest(f"the description is not UTF-8 text: {error}") from None
    facts: dict[str, list[str]] = {word: [] for word in ("abi", *_LAYOUTS, "layout", "column", "setting")}
    for line in filter(None, lines):
        word, _, rest = line.partition(" ")
        if word not in facts:
            raise InvalidGuest(f"the description has the line {line!r}; a line starts with {', '.join(facts)}")
        facts[word].append(rest)
    return facts


def _check_abi(versions: list[str]) -> None:
    if versions != [str(ABI)]:
        found = " and ".join(versions) or "no version"
        raise InvalidGuest(
            f"the description says ABI {found}, this host speaks ABI {ABI}: recompile with its quarterdeck.h"
        )


def _check_names(what: str, names: list[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise InvalidGuest(
                f"{name!r} is not a name for a {what}: letters, digits and _, not first a digit, at most 128"
            )
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise InvalidGuest(f"the description has more than one {what} named {', '.join(doubles)}")


def _input(kind: _Kind, rest: str, layouts: list[str]) -> Input:
    count = {"record": 1, "payload": 0, "entry": 2}[kind]
    words = rest.split(" ", count)
    sizes = tuple(int(word) for word in words[:count] if re.fullmatch(r"[0-9]{1,6}", word, re.ASCII))
    if len(sizes) != count or not all(sizes):
        raise InvalidGuest(
            f"the description says {f'{kind} {rest}'!r}; {kind} takes {count} sizes in bytes, each 1 to "
            f"{RECORD_LIMIT_BYTES}"
        )
    possible = _LAYOUTS[kind]
    wrong = [name for name in layouts if name not in {layout.name.lower() for layout in possible}]
    if wrong:
        names = ", ".join(layout.name.lower() for layout in possible)
        raise InvalidGuest(f"the description has the layout {wrong[0]!r}; those of {kind} are {names}")
    taken = tuple(layout for layout in possible if not layouts or layout.name.lower() in layouts)
    return Input(kind=kind, layouts=taken, sizes=sizes, type_name="".join(words[count:]))


def _column(rest: str) -> OutputColumn:
    words = rest.split(" ")
    if len(words) != 2 or (words[0] not in FIXED_TYPES and words[0] not in VARYING_TYPES):
        types = ", ".join([*FIXED_TYPES, "string", "binary", "json"])
        raise InvalidGuest(
            f"the description has the line {f'column {rest}'!r}, expected: column TYPE NAME, with a type of {types}, "
            "list<…>"
        )
    return OutputColumn(type=words[0], name=words[1])


def _setting(rest: str) -> Setting:
    words = rest.split(" ", 2)
    if len(words) < 2 or words[0] not in NUMBER_TYPES:
        types = ", ".join(NUMBER_TYPES)
        raise InvalidGuest(
            f"the description has the line {f'setting {rest}'!r}, expected: setting TYPE NAME DEFAULT, with a type of "
            f"{types}"
        )
    return Setting(type=words[0], name=words[1], default=words[2] if len(words) == 3 else "")
