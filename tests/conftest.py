"""What holds for every test: the programs that it starts begin with all signals as usual.

No example of Hypothesis has a time limit. Its settings are otherwise its own, and in CI those that it has for CI.
"""

from __future__ import annotations

import signal
from types import FrameType

from hypothesis import HealthCheck, settings


def _ignore(_number: int, _frame: FrameType | None) -> None: ...


def _begin_signals_as_usual() -> None:
    """A shell may have this process ignore or block some (`nohup`, `&`), and what is ignored or blocked is inherited.

    It goes on ignoring what it was told to, by a handler: a program that is executed has none, so there it is as usual.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Python's own, which it restores itself
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignore)


_begin_signals_as_usual()

# a busy machine is no fault of what is tested
settings.register_profile("quarterdeck", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quarterdeck")


def pytest_runtest_setup() -> None:
    """Begin each test alike: a library that an earlier one imported may block signals (chDB blocks SIGPIPE)."""
    _begin_signals_as_usual()
