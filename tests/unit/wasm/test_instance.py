from __future__ import annotations

import gc
import logging
import threading
import time

import numpy as np
import pytest
import wasmtime

from quarterdeck.wasm import unchecked
from quarterdeck.wasm.description import Layout
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import TimedOut, Trapped
from quarterdeck.wasm.instance import LOG_LINES_PER_CALL, Limits
from quarterdeck.wasm.transform import Transform

from .guests import EVENT, MISCHIEF, PIDS, compiled

CHATTY = """
#include "quarterdeck.h"
struct event { u32 what; };
QD_TABLE((u32, number))
QD_TRANSFORM(struct event, e)
{
    qd_log(QD_WARNING, "seen");
    if (e->what == 1)
        __builtin_trap();
    if (e->what == 2)
        qd_log_bytes(99, (const char *)0xfffffff0, 0xffffffff);
    if (e->what == 3)
        qd_log_bytes(QD_DEBUG, "\\xff\\xc3\\xb6", 3);
}
"""


def logged(engine: Engine, *what: int) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    transform = Transform.load(
        engine, compiled(CHATTY), layout=Layout.RECORDS, log=lambda level, text: lines.append((level, text))
    )
    try:
        list(transform.run_buffer(np.array(what, "u4")))
    except Trapped as failure:
        lines.append((0, str(failure)))
    return lines


class TestLog:
    def test_lines_arrive_with_their_level(self, engine: Engine) -> None:
        assert logged(engine, 0, 3) == [(30, "seen"), (30, "seen"), (10, "\ufffdö")]

    def test_what_was_said_before_a_trap_arrives(self, engine: Engine) -> None:
        (first, text), (_, failure) = logged(engine, 1)
        assert (first, text) == (30, "seen")
        assert "unreachable" in failure

    def test_a_line_outside_of_the_memory_is_empty(self, engine: Engine) -> None:
        assert logged(engine, 2) == [(30, "seen"), (40, "")]

    def test_many_lines_are_cut_and_counted(self, engine: Engine) -> None:
        lines = logged(engine, *[0] * 1000)
        assert len(lines) == LOG_LINES_PER_CALL + 1
        assert lines[-1] == (30, f"{1000 - LOG_LINES_PER_CALL} more lines of the same call were left out")

    def test_they_go_to_the_log_of_the_process_by_default(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        transform = Transform.load(engine, compiled(CHATTY), layout=Layout.RECORDS)
        list(transform.run_buffer(np.zeros(1, "u4")))
        assert caplog.record_tuples == [("quarterdeck.wasm.guest", logging.WARNING, "seen")]


def test_an_instance_that_is_dropped_is_freed(engine: Engine) -> None:
    gc.collect()
    before = sum(isinstance(thing, wasmtime.Store) for thing in gc.get_objects())
    for _ in range(3):
        transform = Transform.load(engine, compiled(CHATTY), layout=Layout.RECORDS)
        list(transform.run_buffer(np.zeros(1, "u4")))
        del transform
    gc.collect()
    assert sum(isinstance(thing, wasmtime.Store) for thing in gc.get_objects()) == before


def test_the_slow_call_does_what_the_fast_one_does(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unchecked.has_fast_call(), "the pinned wasmtime has the names of the fast call"
    events = np.zeros(3, EVENT)
    events["pid"] = [1, 0, 3]
    failing = np.array([4, 0], "u4")
    seen: list[tuple[list[int], str]] = []
    for fast in (True, False):
        if not fast:  # as in a release without this name
            monkeypatch.delattr("wasmtime._ffi.wasmtime_func_call_unchecked")
        assert unchecked.has_fast_call() is fast
        transform = Transform.load(engine, compiled(PIDS), layout=Layout.RECORDS)
        pids = [np.asarray(output.columns["pid"]).tolist() for output in transform.run_buffer(events.tobytes())]
        with pytest.raises(Trapped) as caught:
            list(Transform.load(engine, compiled(MISCHIEF), layout=Layout.RECORDS).run_buffer(failing))
        seen.append((pids[0], str(caught.value)))
    assert seen[0] == seen[1] == ([1, 3], "the guest trapped in qd_transform: wasm `unreachable` instruction executed")


def test_other_threads_run_while_a_guest_does(engine: Engine) -> None:
    transform = Transform.load(engine, compiled(MISCHIEF), layout=Layout.RECORDS, limits=Limits(time_s=0.5))

    def run() -> None:
        with pytest.raises(TimedOut):
            list(transform.run_buffer(np.array([2, 0], "u4")))

    running = threading.Thread(target=run)
    running.start()
    steps = 0
    while running.is_alive():
        steps += 1
        time.sleep(0.01)
    assert steps > 5
