from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from quarterdeck.wasm.check import check
from quarterdeck.wasm.description import Layout
from quarterdeck.wasm.engine import TICK_S, Engine
from quarterdeck.wasm.transform import Transform

from .guests import PIDS, compiled


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "wasm-epoch"]


def test_a_compiled_guest_is_kept_and_found(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = Engine(cache=cache)
    check(compiled(PIDS), engine=first)
    kept = sorted(cache.iterdir())
    assert len(kept) == 1
    assert cache.stat().st_mode & 0o777 == 0o700
    written = kept[0].stat().st_mtime_ns
    check(compiled(PIDS), engine=first)
    check(compiled(PIDS), engine=Engine(cache=cache))
    assert kept[0].stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_file_is_compiled_anew(tmp_path: Path, damage: bytes | None) -> None:
    engine = Engine(cache=tmp_path)
    check(compiled(PIDS), engine=engine)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    check(compiled(PIDS), engine=engine)
    assert kept.read_bytes() == whole


def test_a_file_that_others_may_write_is_not_run(tmp_path: Path) -> None:
    engine = Engine(cache=tmp_path)
    check(compiled(PIDS), engine=engine)
    (kept,) = tmp_path.iterdir()
    kept.chmod(0o666)
    check(compiled(PIDS), engine=engine)
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_cache_that_cannot_be_written_costs_no_transform(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    check(compiled(PIDS), engine=Engine(cache=tmp_path / "file" / "cache"))
    assert "could not be kept" in caplog.text


def test_the_ticker_sleeps_when_nothing_is_called() -> None:
    engine = Engine()
    ticks = 0
    advance = engine.wasmtime.increment_epoch

    def count() -> None:
        nonlocal ticks
        ticks += 1
        advance()

    engine.wasmtime.increment_epoch = count
    with engine.ticker:
        while not ticks:
            time.sleep(TICK_S)
    before = 0
    while ticks != before:  # one tick may still be due
        before = ticks
        time.sleep(5 * TICK_S)
    engine.close()


def test_close_ends_the_thread_and_a_later_call_starts_another() -> None:
    others = len(threads())
    engine = Engine()
    assert len(threads()) == others, "no thread before the first call"
    transform = Transform.load(engine, compiled(PIDS), layout=Layout.RECORDS)
    assert len(threads()) == others + 1
    engine.close()
    assert len(threads()) == others
    assert sum(output.records for output in transform.run_buffer(bytes(64))) == 2
    engine.close()
    assert len(threads()) == others
