"""Functions by address."""

from __future__ import annotations

import numpy as np

from quarterdeck.bpf.strings import StringTable
from quarterdeck.bpf.symbols.functions import Functions


def functions(*rows: tuple[int, int, int]) -> Functions:
    starts, sizes, names = (np.array(column, dtype=np.uint64) for column in zip(*rows, strict=True))
    return Functions.of(starts, sizes, names.astype(np.uint32), StringTable(b"a\0b\0c\0d\0"))


def at(*addresses: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(addresses, dtype=np.uint64)


def test_an_address_belongs_to_the_function_around_it() -> None:
    found = functions((0x200, 0x10, 2), (0x100, 0x10, 0))
    assert found.find(at(0xFF, 0x100, 0x10F, 0x110, 0x1FF, 0x200, 0x20F, 0x210)) == [
        *(None, "a", "a", None, None),
        *("b", "b", None),
    ]
    assert len(found) == 2
    assert found.nbytes == 2 * (8 + 8 + 4) + found.strings.nbytes


def test_a_function_without_a_size_ends_where_the_next_begins() -> None:
    found = functions((0x100, 0, 0), (0x180, 0, 2))
    assert found.find(at(0x17F, 0x180, 0x117F, 0x1180)) == ["a", "b", "b", None]


def test_of_two_at_one_address_the_first_given_wins() -> None:
    assert functions((0x100, 4, 4), (0x100, 8, 0)).find(at(0x102, 0x106)) == ["c", None]


def test_without_functions_no_address_has_a_name() -> None:
    assert Functions.none().find(at(0, 1)) == [None, None]
    assert functions((1, 1, 0)).find(at()) == []
    assert not Functions.none()


def test_sizes_beyond_the_address_space_find_nothing() -> None:
    assert functions((0xFFFFFFFFFFFFFFF0, 0x100, 0)).find(at(0xFFFFFFFFFFFFFFF8)) == [None]
