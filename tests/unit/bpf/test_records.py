"""Chains of records as arrays: the fast method and the doubling method compared with a plain loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.bpf.records import Records, chain


def walk(lengths: list[int]) -> list[int]:
    starts: list[int] = []
    at = 0
    while at < len(lengths) and lengths[at] > 0:
        starts.append(at)
        at += lengths[at]
    return starts


@given(st.lists(st.integers(-1, 5), max_size=300))
def test_chain_is_what_a_walk_finds(lengths: list[int]) -> None:
    assert chain(np.array(lengths, np.int64)).tolist() == walk(lengths)


@given(st.integers(1, 40), st.integers(0, 3))
def test_chain_goes_on_past_a_chunk(length: int, end: int) -> None:
    lengths = [length] * 30_000
    lengths[25_000 + end] = 0
    assert chain(np.array(lengths, np.int64)).tolist() == walk(lengths)


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 48), st.integers(0, 16))
def test_rows_are_cut_and_padded(payloads: list[bytes], itemsize: int, gap: int) -> None:
    data, offsets = bytearray(), []
    for payload in payloads:
        data += bytes([0xEE]) * gap
        offsets.append(len(data))
        data += payload
    records = Records(
        np.frombuffer(bytes(data), np.uint8),
        np.array(offsets, np.int64),
        np.array([len(payload) for payload in payloads], np.int64),
        len(data),
    )
    rows = records.rows(itemsize)
    assert rows.shape == (len(payloads), itemsize)
    assert [bytes(row) for row in rows] == [payload[:itemsize].ljust(itemsize, b"\0") for payload in payloads]


def test_equally_spaced_rows_are_a_view() -> None:
    data = np.arange(100, dtype=np.uint8)
    rows = Records(data, np.array([4, 14, 24]), np.full(3, 6), 30).rows(5)
    assert rows.tolist() == [[4, 5, 6, 7, 8], [14, 15, 16, 17, 18], [24, 25, 26, 27, 28]]
    assert np.shares_memory(rows, data)
