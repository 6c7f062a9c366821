"""The names of 64-bit enums, and the numbers that have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quarterdeck.agent.modules.enum_names import EnumNames
from quarterdeck.columns.values import Varying

BIG = 1 << 40
MAX = (1 << 64) - 1


def texts(values: Varying) -> list[str]:
    assert isinstance(values.items, np.ndarray)
    data = values.items.tobytes()
    return [data[a:b].decode() for a, b in zip(values.offsets, values.offsets[1:], strict=False)]


@pytest.mark.parametrize(
    ("values", "numbers", "expected"),
    [
        ({"0": "NONE", str(BIG): "BIG"}, np.array([BIG, 0, BIG], "<u8"), ["BIG", "NONE", "BIG"]),
        (
            {"0": "NONE", str(BIG): "BIG"},
            np.array([7, BIG, MAX, 7], "<u8"),
            ["7", "BIG", str(MAX), "7"],
        ),
        ({"-1": "ALL", "1": "ONE"}, np.array([1, -1, -(1 << 63), 2], "<i8"), ["ONE", "ALL", f"{-(1 << 63)}", "2"]),
        ({str(BIG): "BIG"}, np.array([BIG, 1], ">u8"), ["BIG", "1"]),
        ({str(BIG): "BIG"}, np.array([], "<u8"), []),
    ],
)
def test_numbers_become_names_and_unknown_ones_their_decimals(
    values: dict[str, str], numbers: NDArray[Any], expected: list[str]
) -> None:
    assert texts(EnumNames(values).of(numbers)) == expected
