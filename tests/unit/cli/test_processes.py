"""Long-running processes: they end when asked, always with a log line, and limit the length of log lines."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import pytest

from quarterdeck.cli.processes import MESSAGE_LIMIT_CHARACTERS, LineFormatter, run_until_ended
from quarterdeck.model.errors import Unavailable


def test_work_that_is_given_up_from_within_is_an_error() -> None:
    async def work() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    with pytest.raises(Unavailable, match="was cancelled"):
        run_until_ended(work())


def test_a_signal_ends_it_in_order() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    run_until_ended(work())


def formatted(message: str) -> str:
    record = logging.LogRecord("qd", logging.INFO, __file__, 1, "node said %s", (message,), None)
    return LineFormatter("%(levelname)s %(message)s").format(record)


def test_a_message_is_logged_as_it_is() -> None:
    assert formatted("hello") == "INFO node said hello"


def test_a_long_message_is_cut_and_says_so() -> None:
    line = formatted("x" * 10**7)
    assert len(line) < MESSAGE_LIMIT_CHARACTERS + 100
    assert line.endswith("… (10000010 characters)")
