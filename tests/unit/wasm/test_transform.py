"""Rows from spans of every layout."""

from __future__ import annotations

import ctypes
import gc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.wasm.description import Layout
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import (
    RecordMismatch,
)
from quarterdeck.wasm.guest import Guest, Output
from quarterdeck.wasm.transform import Transform

from .guests import EVENT, PIDS, compiled, from_page, from_wat, perf, ring
from .rows import events, expected, payloads, rows, texts


@pytest.mark.parametrize(
    ("layout", "make"),
    [(Layout.RECORDS, b"".join), (Layout.RING, ring), (Layout.PERF, perf)],
)
@pytest.mark.parametrize("count", [0, 1, 7, 20_000])
def test_the_same_rows_come_from_every_layout(engine: Engine, layout: Layout, make: Any, count: int) -> None:
    transform = Transform.load(engine, compiled(PIDS), layout=layout, sizes=(32,))
    span = make(payloads(events(count)))
    table, consumed = rows(transform, span)
    assert table | {"comm": texts(table["comm"])} == expected(events(count))
    assert consumed == len(span)


def test_map_entries_have_a_key_and_a_value(engine: Engine) -> None:
    source = """
    #include "quarterdeck.h"
    struct key { u32 pid; u16 port; } __attribute__((packed));
    struct value { u64 bytes; u64 slots[3]; };
    QD_TABLE((u32, pid), (u16, port), (u64, bytes), (u64_list, slots))
    QD_TRANSFORM_ENTRIES(struct key, k, struct value, v)
    {
        QD_ROW(.pid = k->pid, .port = qd_ntohs(k->port), .bytes = v->bytes, .slots = {v->slots, k->pid % 4});
    }
    """
    entries = np.zeros(9000, [("pid", "u4"), ("port", ">u2"), ("bytes", "u8"), ("slots", "u8", 3)])
    entries["pid"], entries["port"], entries["bytes"] = np.arange(9000), 443, np.arange(9000) * 2
    entries["slots"] = np.arange(27_000).reshape(9000, 3)
    transform = Transform.load(engine, compiled(source), layout=Layout.ENTRIES, sizes=(6, 32))
    table, _ = rows(transform, entries.tobytes())
    assert table["port"] == [443] * 9000
    assert table["bytes"] == entries["bytes"].tolist()
    assert table["slots"] == [row["slots"][: row["pid"] % 4].tolist() for row in entries]


def test_every_type_arrives_as_it_left(engine: Engine) -> None:
    source = """
    #include "quarterdeck.h"
    struct event { s64 number; double real; u8 ip[16]; u8 mac[6]; };
    QD_TABLE((bool, odd), (u8, a), (u16, b), (u32, c), (u64, d), (s8, e), (s16, f), (s32, g), (s64, h),
             (f32, i), (f64, j), (timestamp_ns, time), (duration_ns, lasted), (ipv4, v4), (ipv6, v6), (mac, hardware),
             (ip, any), (ip, same),
             (string, text), (json, object), (binary, raw),
             (u32_list, k), (u64_list, l), (s32_list, m), (s64_list, n), (f64_list, o))
    QD_TRANSFORM(struct event, r)
    {
        QD_ROW(.odd = r->number & 1, .a = r->number, .b = r->number, .c = r->number, .d = r->number,
               .e = r->number, .f = r->number, .g = r->number, .h = r->number, .i = r->real, .j = r->real,
               .time = r->number, .lasted = r->number, .v4 = qd_from_ipv4(r->ip), .v6 = qd_from_ipv6(r->ip),
               .any = qd_from_ip(r->ip, 2), .same = qd_from_ip(r->ip, 10),
               .hardware = qd_from_mac(r->mac), .text = qd_str("twelve bytes"), .object = qd_str("{}"),
               .raw = qd_bytes_of(r->mac),
               .k = {(u32[]){1, 2}, 2}, .l = {(u64[]){3}, 1}, .m = {(s32[]){-4}, 1},
               .n = {(s64[]){-5, 6}, 2}, .o = {(f64[]){0.5}, 1});
    }
    """
    record = np.zeros(1, [("number", "i8"), ("real", "f8"), ("ip", "u1", 16), ("mac", "u1", 6), ("pad", "u1", 2)])
    record["number"], record["real"], record["ip"][0] = -3, 0.25, np.arange(127, 143)
    record["mac"][0] = [2, 0, 0, 0, 0, 9]
    transform = Transform.load(engine, compiled(source), layout=Layout.RECORDS, sizes=(40,))
    table, _ = rows(transform, record.tobytes())
    unsigned = {"a": 2**8 - 3, "b": 2**16 - 3, "c": 2**32 - 3, "d": 2**64 - 3}
    signed = dict.fromkeys(["e", "f", "g", "h", "time", "lasted"], -3)
    assert {name: cells[0] for name, cells in table.items()} == unsigned | signed | {
        "odd": True,
        "i": 0.25,
        "j": 0.25,
        "v4": 0x7F808182,
        "any": [0] * 10 + [255, 255, 127, 128, 129, 130],
        "same": list(range(127, 143)),
        "v6": list(range(127, 143)),
        "hardware": 0x020000000009,
        "text": list(b"twelve bytes"),
        "object": list(b"{}"),
        "raw": [2, 0, 0, 0, 0, 9],
        "k": [1, 2],
        "l": [3],
        "m": [-4],
        "n": [-5, 6],
        "o": [0.5],
    }


def test_one_record_may_become_many_rows_and_none_is_lost(engine: Engine) -> None:
    source = """
    #define QD_ROWS 100
    #define QD_ITEMS 3300
    #include "quarterdeck.h"
    struct event { u32 first; u32 count; };
    QD_TABLE((u32, number), (string, text))
    QD_TRANSFORM(struct event, e)
    {
        for (u32 i = 0; i < e->count; i++)
            QD_ROW(.number = e->first + i, .text = qd_strn("forty characters, of which some are taken", i));
    }
    """
    counts = [3, 100, 0, 60, 60, 1, 99, 2, 41]
    span = np.array([(1000 * index, count) for index, count in enumerate(counts)], "u4").tobytes()
    transform = Transform.load(engine, compiled(source), layout=Layout.RECORDS, sizes=(8,))
    table, consumed = rows(transform, span)
    assert table["number"] == [1000 * index + i for index, count in enumerate(counts) for i in range(count)]
    assert {len(text) for text in table["text"]} == set(range(42))
    assert consumed == len(span)


def test_a_record_that_alone_overflows_is_rejected_and_counted(engine: Engine) -> None:
    source = """
    #define QD_ROWS 100
    #include "quarterdeck.h"
    struct event { u32 count; };
    QD_TABLE((u32, number))
    QD_TRANSFORM(struct event, e) { for (u32 i = 0; i < e->count; i++) QD_ROW(.number = i); }
    """
    transform = Transform.load(engine, compiled(source), layout=Layout.RECORDS, sizes=(4,))
    outputs = [(o.rows, o.records, o.rejected) for o in transform.run_buffer(np.array([5, 101, 7], "u4"))]
    assert outputs == [(5, 1, 0), (7, 2, 1)]


def test_a_row_in_a_function_that_returns_something(engine: Engine) -> None:
    source = """
    #include "quarterdeck.h"
    struct event { u32 number; };
    QD_TABLE((u32, number))
    static u32 twice(u32 number) { return qd_emit(.number = number) + qd_emit(.number = number); }
    QD_TRANSFORM(struct event, e) { if (twice(e->number) != 2) return; }
    """
    transform = Transform.load(engine, compiled(source), layout=Layout.RECORDS)
    table, _ = rows(transform, np.arange(10_000, dtype="u4").tobytes())
    assert table["number"] == [number for number in range(10_000) for _ in range(2)]


class TestRing:
    def test_discarded_records_are_skipped_and_one_still_being_written_ends_the_span(self, engine: Engine) -> None:
        transform = Transform.load(engine, compiled(PIDS), layout=Layout.RING, sizes=(32,))
        array = events(12)
        span = ring(payloads(array), discarded=frozenset({1, 6}), busy=frozenset({9}))
        table, consumed = rows(transform, span)
        assert table["time"] == [1000 * index for index in (2, 3, 4, 7, 8)]
        assert consumed == 9 * 40
        assert rows(transform, span[consumed:]) == ({"time": [], "pid": [], "comm": []}, 0)

    def test_a_longer_record_is_read_and_a_shorter_one_rejected(self, engine: Engine) -> None:
        transform = Transform.load(engine, compiled(PIDS), layout=Layout.RING)
        payload = events(2)[1:].tobytes()
        outputs = list(transform.run_buffer(ring([payload + b"more", payload[:-1], payload])))
        assert [(o.rows, o.records, o.rejected) for o in outputs] == [(2, 3, 1)]

    def test_a_record_larger_than_a_chunk_is_read_whole(self, engine: Engine) -> None:
        source = """
        #define QD_ITEMS 4000000
        #include "quarterdeck.h"
        QD_TABLE((u32, size), (binary, bytes))
        QD_TRANSFORM_PAYLOADS(start, length) { QD_ROW(.size = length, .bytes = qd_bytes(start, length)); }
        """
        transform = Transform.load(engine, compiled(source), layout=Layout.RING)
        sizes = [1, 600_000, 0, 1_500_000, 9]
        table, consumed = rows(transform, span := ring([bytes([n % 251]) * n for n in sizes]))
        assert table["size"] == sizes
        assert [bytes(cell) for cell in table["bytes"]] == [bytes([n % 251]) * n for n in sizes]
        assert consumed == len(span)

    def test_a_record_that_is_committed_while_the_span_is_read_waits_for_the_next(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its payload may have been copied before it was written."""
        transform = Transform.load(engine, compiled(PIDS), layout=Layout.RING, sizes=(32,))
        span = bytearray(ring(payloads(events(5)), busy=frozenset({3})))
        give = Guest.give

        def commit_and_give(guest: Guest, layout: Layout, address: int, size: int) -> Output:
            if guest.description.input.kind == "record":
                span[3 * 40 + 3] &= 0x7F
            return give(guest, layout, address, size)

        monkeypatch.setattr(Guest, "give", commit_and_give)
        outputs = transform.run_buffer(span)
        assert np.asarray(next(outputs).columns["time"]).tolist() == [1000, 2000]
        assert np.asarray(next(outputs).columns["time"]).tolist() == [3000, 4000]

    def test_a_record_that_is_cut_off_waits(self, engine: Engine) -> None:
        transform = Transform.load(engine, compiled(PIDS), layout=Layout.RING, sizes=(32,))
        span = ring(payloads(events(3)))
        for size in range(40, 80):
            assert rows(transform, span[:size])[1] == 40


def test_what_the_kernel_lost_is_counted(engine: Engine) -> None:
    transform = Transform.load(engine, compiled(PIDS), layout=Layout.PERF, sizes=(32,))
    outputs = list(transform.run_buffer(perf(payloads(events(9)), lost={0: 5, 8: 2**31})))
    assert [(output.records, output.lost) for output in outputs] == [(9, 5 + 2**31)]


def test_the_examples_of_the_page_work(engine: Engine) -> None:
    in_c = Transform.load(engine, compiled(from_page("c")), layout=Layout.RING, sizes=(32,))
    array = np.zeros(2, EVENT)
    array[1] = (99, 7, 512, b"curl")
    table, _ = rows(in_c, ring(payloads(array)))
    assert table == {"time": [99], "pid": [7], "comm": [list(b"curl")], "kilobytes": [0.5]}

    numbers = np.arange(20_000, dtype="u4")
    sums = (numbers[::2].astype("u8") + numbers[1::2]).tolist()
    packed = Transform.load(engine, from_wat(from_page("wat")), layout=Layout.RECORDS, sizes=(8,))
    assert rows(packed, numbers.tobytes())[0] == {"sum": sums}
    as_ring = Transform.load(engine, from_wat(from_page("wat")), layout=Layout.RING, sizes=(8,))
    pairs = [pair.tobytes() for pair in numbers.reshape(-1, 2)]
    assert rows(as_ring, ring(pairs, discarded=frozenset({2})))[0] == {"sum": sums[:2] + sums[3:]}
    with pytest.raises(RecordMismatch, match="takes RECORDS, RING, the host would give it PERF"):
        Transform.load(engine, from_wat(from_page("wat")), layout=Layout.PERF)


def test_arrays_keep_the_memory_of_a_transform_that_is_gone(engine: Engine) -> None:
    transform = Transform.load(engine, compiled(PIDS), layout=Layout.RECORDS)
    output = next(iter(transform.run_buffer(events(100))))
    times = output.columns["time"]
    gone = weakref.ref(transform)
    del transform, output
    gc.collect()
    assert gone() is None
    assert isinstance(times, np.ndarray)
    assert times.tolist() == expected(events(100))["time"]


def test_addresses_need_no_python_object(engine: Engine) -> None:
    transform = Transform.load(engine, compiled(PIDS), layout=Layout.RECORDS)
    span = ctypes.create_string_buffer(events(10).tobytes(), 320)
    assert sum(output.rows for output in transform.run(ctypes.addressof(span), 320)) == 8


DIFFERENTIAL = """
#define QD_ROWS 64
#define QD_ITEMS 512
#include "quarterdeck.h"
struct event { s64 value; u32 kind; u8 depth; char text[11]; u64 stack[3]; };
QD_SETTING(u32, skip, 0)
QD_TABLE((s64, value), (f64, half), (bool, negative), (string, text), (u64_list, stack), (binary, head))
QD_TRANSFORM(struct event, e)
{
    if (e->kind % 4 == skip)
        return;
    for (u32 i = 0; i < e->kind % 3 + 1; i++)
        QD_ROW(.value = e->value + i, .half = e->value / 2.0, .negative = e->value < 0, .text = qd_str(e->text),
               .stack = {e->stack, e->depth % 4}, .head = qd_bytes(e->text, i));
}
"""
RECORD = np.dtype([("value", "i8"), ("kind", "u4"), ("depth", "u1"), ("text", "S11"), ("stack", "u8", 3)])


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 400),
    layout=st.sampled_from([Layout.RECORDS, Layout.RING, Layout.PERF]),
    skip=st.integers(0, 3),
    tails=st.booleans(),
)
def test_it_computes_what_python_computes(seed: int, count: int, layout: Layout, skip: int, tails: bool) -> None:
    random = np.random.default_rng(seed)
    array = np.frombuffer(random.bytes(count * RECORD.itemsize), RECORD).copy()
    array["value"] >>= 12  # the precision of a double
    array["text"] = [random.bytes(int(random.integers(0, 12))) for _ in range(count)]
    made = payloads(array)
    if tails and layout is not Layout.RECORDS:
        made = [payload + bytes(int(random.integers(0, 30))) for payload in made]
    discarded = (
        frozenset(np.flatnonzero(random.integers(0, 9, count) == 0).tolist()) if layout is Layout.RING else frozenset()
    )
    span = (
        ring(made, discarded=discarded)
        if layout is Layout.RING
        else perf(made)
        if layout is Layout.PERF
        else b"".join(made)
    )

    wanted: dict[str, list[Any]] = {name: [] for name in ("value", "half", "negative", "text", "stack", "head")}
    for index, row in enumerate(array):
        if index in discarded or row["kind"] % 4 == skip:
            continue
        for i in range(int(row["kind"]) % 3 + 1):
            raw = row.tobytes()[13:24]
            wanted["value"].append(int(row["value"]) + i)
            wanted["half"].append(int(row["value"]) / 2)
            wanted["negative"].append(bool(row["value"] < 0))
            wanted["text"].append(list(raw.split(b"\0")[0]))
            wanted["stack"].append(row["stack"][: row["depth"] % 4].tolist())
            wanted["head"].append(list(raw[:i]))
    engine = Engine()
    transform = Transform.load(engine, compiled(DIFFERENTIAL), layout=layout, sizes=(48,), settings={"skip": skip})
    assert rows(transform, span) == (wanted, len(span))
    engine.close()
