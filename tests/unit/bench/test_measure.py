"""What experiments compute from what they measured."""

from __future__ import annotations

import pytest

from bench.measure import percentile


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [
        ([5.0], 0.95, 5.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(number) for number in range(1, 101)], 0.95, 95.0),
        ([1.0] * 19 + [9.0], 0.95, 1.0),
        ([1.0] * 18 + [9.0, 9.0], 0.95, 9.0),
        ([2.0, 1.0], 0.0, 1.0),
        ([2.0, 1.0], 1.0, 2.0),
    ],
)
def test_a_percentile_is_a_value_that_this_part_does_not_exceed(
    values: list[float], part: float, expected: float
) -> None:
    assert percentile(values, part) == expected
