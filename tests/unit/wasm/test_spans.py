from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.wasm import spans
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import GuestMissing
from quarterdeck.wasm.spans import SpanWalker, uniform_records

from .guests import perf, ring


def address(span: bytes) -> int:
    """Return the address of the bytes, valid as long as the caller holds them."""
    return ctypes.cast(ctypes.c_char_p(span), ctypes.c_void_p).value or 0


def test_payloads_are_where_the_offsets_say(engine: Engine) -> None:
    payloads = [bytes([index % 256]) * (index * 7 % 90) for index in range(5000)]
    span = ring(payloads)
    offsets, lengths, consumed = SpanWalker(engine).walk(address(span), len(span))
    assert [span[a : a + n] for a, n in zip(offsets.tolist(), lengths.tolist(), strict=True)] == payloads
    assert offsets.dtype == lengths.dtype == np.uint32
    assert consumed == len(span)


def test_discarded_records_are_left_out_and_a_busy_one_ends_the_walk(engine: Engine) -> None:
    span = ring([b"one", b"two", b"three", b"four"], discarded=frozenset({1}), busy=frozenset({3}))
    offsets, lengths, consumed = SpanWalker(engine).walk(address(span), len(span))
    assert (offsets.tolist(), lengths.tolist(), consumed) == ([8, 40], [3, 5], 48)


def test_an_empty_span_has_no_payloads(engine: Engine) -> None:
    offsets, lengths, consumed = SpanWalker(engine).walk(0, 0)
    assert (len(offsets), len(lengths), consumed) == (0, 0, 0)


def test_many_chunks_and_records_larger_than_a_chunk(engine: Engine) -> None:
    sizes = [0] * 40_000 + [700_000, 3, 2_000_000, 5]
    span = ring([bytes(size) for size in sizes])
    walk = SpanWalker(engine).walk(address(span), len(span))
    assert walk.lengths.tolist() == sizes
    assert walk.consumed == len(span)


def test_perf_samples_and_what_was_lost(engine: Engine) -> None:
    payloads = [b"a" * size for size in (1, 4, 12, 60)]
    span = perf(payloads, lost={0: 3, 2: 4})
    offsets, lengths, consumed, lost = SpanWalker(engine).walk_perf(address(span), len(span))
    found = [span[a : a + n] for a, n in zip(offsets.tolist(), lengths.tolist(), strict=True)]
    assert [payload.rstrip(b"\0") for payload in found] == payloads
    assert (consumed, lost) == (len(span), 7)


@settings(deadline=None, max_examples=100)
@given(span=st.binary(max_size=4096))
def test_any_bytes_give_payloads_inside_the_span(span: bytes) -> None:
    walker = SpanWalker(ENGINE)
    for offsets, lengths, consumed, *_ in (
        walker.walk(address(span), len(span)),
        walker.walk_perf(address(span), len(span)),
    ):
        assert consumed <= len(span)
        assert (offsets.astype("u8") + lengths <= consumed).all()


ENGINE = Engine()


def test_uniform_records_are_seen_by_their_headers() -> None:
    def count(span: bytes) -> int:
        return uniform_records(address(span), len(span), 12)

    records = [bytes(12)] * 5
    assert count(ring(records)) == 5
    assert count(ring(records)[:-1]) == 4
    assert count(ring(records, busy=frozenset({4}))) == 0
    assert count(ring(records, discarded=frozenset({0}))) == 0
    assert count(ring([*records, bytes(13)])) == 0
    assert count(b"") == 0


def test_a_guest_that_was_not_compiled_is_named(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(spans, "files", lambda _: tmp_path)
    with pytest.raises(GuestMissing, match=r"spans\.wasm is missing.*make setup"):
        SpanWalker(engine)
