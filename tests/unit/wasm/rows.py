"""Rows of a transform, and its input, for the tests of transforms."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from quarterdeck.wasm.instance import Limits
from quarterdeck.wasm.transform import Transform

from .guests import EVENT

LIMITS = Limits(memory_bytes=8 * 1024 * 1024, time_s=0.1)


def rows(transform: Transform, span: bytes) -> tuple[dict[str, list[Any]], int]:
    """Return all rows of a span as Python lists, and the bytes consumed."""
    table: dict[str, list[Any]] = {column.name: [] for column in transform.schema}
    consumed = 0
    for output in transform.run_buffer(span):
        consumed += output.consumed
        for name, values in output.columns.items():
            if isinstance(values, tuple):
                ends, items = values
                table[name] += [items[a:b].tolist() for a, b in itertools.pairwise(ends)]
            else:
                table[name] += values.tolist()
            assert len(table[name]) == len(next(iter(table.values())))
    return table, consumed


def texts(cells: list[list[int]]) -> list[bytes]:
    return [bytes(cell) for cell in cells]


def events(count: int) -> np.ndarray[Any, Any]:
    array = np.zeros(count, EVENT)
    array["ts"] = np.arange(count) * 1000
    array["pid"] = np.arange(count) % 5
    array["comm"] = [f"worker/{index}"[:16].encode() for index in range(count)]
    return array


def expected(array: np.ndarray[Any, Any]) -> dict[str, list[Any]]:
    kept = array[array["pid"] != 0]
    return {"time": kept["ts"].tolist(), "pid": kept["pid"].tolist(), "comm": kept["comm"].tolist()}


def payloads(array: np.ndarray[Any, Any]) -> list[bytes]:
    return [row.tobytes() for row in array]
