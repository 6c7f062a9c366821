"""Calls that are ended from outside: by a reader that leaves, and by signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from quarterdeck.cli import leaving

WAITING = """
import sys, time
from quarterdeck.cli import leaving
try:
    with leaving.ended_by_signals(), leaving.while_read():
        print("here", flush=True)
        time.sleep(60)
except leaving.ReaderLeft:
    print("left", file=sys.stderr)
except KeyboardInterrupt:
    print("ended", leaving.exit_code(), file=sys.stderr)
"""


def start() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("blocked", [set[signal.Signals](), {signal.SIGPIPE}])
def test_a_reader_that_goes_away_is_noticed_without_a_write(blocked: set[signal.Signals]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)  # a process inherits blocked signals
    try:
        waiting = start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with waiting:
        assert waiting.stdout
        assert waiting.stderr
        assert waiting.stdout.readline() == b"here\n"
        waiting.stdout.close()
        assert waiting.stderr.read() == b"left\n"


PRINTING = """
import sys
from quarterdeck.cli import leaving

def page():
    try:
        yield
    finally:  # a stream that is closed on the way out, while further signals arrive
        for _ in range(200):
            try:
                sys.stdout.buffer.write(b"line\\n")
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                pass

def show():
    for _ in page():
        while True:
            print("line", flush=True)

try:
    with leaving.while_read():
        show()
except (leaving.ReaderLeft, BrokenPipeError):
    print("left", file=sys.stderr)
    sys.stderr.flush()
    import os
    os._exit(0)
"""


def test_a_reader_that_goes_away_is_told_once_however_many_writes_fail() -> None:
    with subprocess.Popen([sys.executable, "-c", PRINTING], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as printing:
        assert printing.stdout
        assert printing.stderr
        assert printing.stdout.readline() == b"line\n"
        printing.stdout.close()
        assert printing.stderr.read() == b"left\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_interrupt(number: signal.Signals) -> None:
    with start() as waiting:
        assert waiting.stdout
        assert waiting.stderr
        assert waiting.stdout.readline() == b"here\n"
        waiting.send_signal(number)
        assert waiting.stderr.read() == f"ended {128 + number}\n".encode()


def test_the_reader_is_watched_only_inside_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(leaving, "_pipe", lambda: writing)
    before = signal.getsignal(signal.SIGPIPE)
    with leaving.while_read():
        pass
    os.close(reading)
    assert signal.getsignal(signal.SIGPIPE) is before
    with pytest.raises(leaving.ReaderLeft), leaving.while_read():
        signal.pause()
    os.close(writing)
