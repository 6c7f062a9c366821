"""Shared parts of the long-running processes: logging, the end by a signal, and errors for missing libraries.

It imports only the standard library and the model, because the agent's process has to stay small.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from quarterdeck.cli.terminal import plain
from quarterdeck.model.errors import BadConfig, NotInstalled, Unavailable

#: characters of one record's message, which may contain foreign text
MESSAGE_LIMIT_CHARACTERS = 4096
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def start_logging(process: str) -> None:
    """Log to standard error, one line per record; QD_LOG sets the level."""
    level = os.environ.get("QD_LOG", "INFO").upper()
    if level not in _LEVELS:
        raise BadConfig(f"QD_LOG is '{level}', which is not a level.", hint=f"It is one of {', '.join(_LEVELS)}.")
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(f"%(asctime)s {process} %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    for chatty in ("httpx", "aiosqlite", "alembic", "sqlalchemy.engine"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class LineFormatter(logging.Formatter):
    """Shortens messages that are too long for a log line, with a mark. Tracebacks are whole; controls are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        text = super().format(record)
        return plain(text) if sys.stderr.isatty() else text

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Return the line."""
        size = len(record.message)
        if size > MESSAGE_LIMIT_CHARACTERS:
            record.message = f"{record.message[:MESSAGE_LIMIT_CHARACTERS]}… ({size} characters)"
        return super().formatMessage(record)


def run_until_ended(main: Coroutine[Any, Any, None]) -> None:
    """Run until the work ends, or SIGTERM or SIGINT cancels it; a second signal ends the process at once."""

    async def cancellable() -> None:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()
        received: list[signal.Signals] = []

        def end(number: signal.Signals) -> None:
            logging.getLogger(__name__).info("ending on %s", number.name)
            received.append(number)
            loop.remove_signal_handler(number)
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, number)
        try:
            await task
        except asyncio.CancelledError as error:
            if not received:  # the end was not requested
                raise Unavailable(
                    "The work was cancelled from within.", hint="Its log says what came before."
                ) from error

    asyncio.run(cancellable())


def not_installed(error: ModuleNotFoundError, command: str, *, extra: str) -> NotInstalled:
    """Return the error for a part whose libraries are missing; raise an import error of our own modules again."""
    if (error.name or "").startswith("quarterdeck"):
        raise error
    return NotInstalled(
        f"'qd {command}' needs the package {error.name}, which is not installed.",
        hint=f"Install it: pip install 'quarterdeck[{extra}]'",
    )
