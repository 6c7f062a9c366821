"""Early ends of a `qd` call that has something running remotely: by a signal, or because its output is not read.

Owns the handling of SIGTERM and SIGHUP, which do what Ctrl-C does unless the caller ignores them, as nohup does. It
notices that the reader has left (as `| head` does) even when there is nothing to print. It never ends jobs itself.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

#: signals that end a call
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
#: how often a watch checks whether it should end
LOOK_S = 0.5
Handler = Callable[[int, FrameType | None], object]


class Ended(KeyboardInterrupt):
    """A signal other than SIGINT arrived; it is handled in the same way."""


class ReaderLeft(BaseException):
    """The reader of standard output has left. Not an Exception, so that no library handles it as an error."""


_received: list[int] = []


def exit_code() -> int:
    """Return the exit code of an ended call by the convention of shells: 128 plus the number of the signal."""
    return 128 + (_received[-1] if _received else signal.SIGINT)


@contextmanager
def ended_by_signals() -> Generator[None]:
    """Let SIGTERM and SIGHUP interrupt this call as Ctrl-C does, while the context is active."""
    handled = [each for each in SIGNALS if each != signal.SIGINT and signal.getsignal(each) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def on_signals(ending: Callable[[], None]) -> Generator[None]:
    """Call `ending` at the first signal and interrupt at the next, while the context is active. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _received.clear()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def end(number: int, _frame: FrameType | None) -> None:
        _received.append(number)
        for each in handled:
            signal.signal(each, _interrupt)
        ending()

    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


@contextmanager
def while_read() -> Generator[None]:
    """Raise `ReaderLeft` as soon as the reader of standard output leaves, if that is a pipe or a socket."""
    output = _pipe()
    if output is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()
    raised = False

    def left(_number: int, _frame: FrameType | None) -> None:
        nonlocal raised
        if not (over.is_set() or raised):  # the kernel sends the signal too, for each failed write
            raised = True
            raise ReaderLeft

    def ignored(unraisable: sys.UnraisableHookArgs) -> None:
        nonlocal raised
        if unraisable.exc_type is ReaderLeft:  # it was raised in a destructor: the watch sends the signal again
            raised = False
        else:
            hook(unraisable)

    hook, sys.unraisablehook = sys.unraisablehook, ignored
    before = signal.signal(signal.SIGPIPE, left)
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPIPE})  # the parent process may have blocked it
    main = threading.get_ident()
    watch = threading.Thread(target=_watch, args=(output, over, main), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        signal.signal(signal.SIGPIPE, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sys.unraisablehook = hook


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    raise Ended if number != signal.SIGINT else KeyboardInterrupt


def _pipe() -> int | None:
    """Return standard output if it is a pipe or socket, whose reader can leave without a signal."""
    try:
        output = sys.stdout.fileno()
        mode = os.fstat(output).st_mode
    except (OSError, ValueError):  # replaced by a test, or closed
        return None
    return output if hasattr(select, "poll") and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) else None


def _watch(output: int, over: threading.Event, main: int) -> None:
    poll = select.poll()
    poll.register(output, 0)  # POLLERR is always reported: the other end is closed
    while not over.is_set():
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(LOOK_S * 1000)):
            if not over.is_set():
                signal.pthread_kill(main, signal.SIGPIPE)
            over.wait(LOOK_S)
