"""What the long-running processes share: logging, ending on a signal, and the words for libraries that are missing.

Imports nothing but the standard library and the model, because the agent's process has to stay small.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

from quarterdeck.model.errors import BadConfig, NotInstalled

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def start_logging(process: str) -> None:
    """Logs to standard error, one line a record; QD_LOG sets the level."""
    level = os.environ.get("QD_LOG", "INFO").upper()
    if level not in _LEVELS:
        raise BadConfig(f"QD_LOG is '{level}', which is no level.", hint=f"It is one of {', '.join(_LEVELS)}.")
    logging.basicConfig(
        level=level,
        format=f"%(asctime)s {process} %(levelname)-7s %(name)s: %(message)s",
    )
    for chatty in ("httpx", "aiosqlite", "alembic", "sqlalchemy.engine"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def run_until_ended(main: Coroutine[Any, Any, None]) -> None:
    """Runs until the work ends, or SIGTERM or SIGINT cancels it; a second signal ends the process at once."""

    async def cancellable() -> None:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()

        def end(number: signal.Signals) -> None:
            logging.getLogger(__name__).info("ending on %s", number.name)
            loop.remove_signal_handler(number)
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, number)
        try:
            await task
        except asyncio.CancelledError:
            return

    asyncio.run(cancellable())


def not_installed(error: ModuleNotFoundError, command: str, *, extra: str) -> NotInstalled:
    """The error for a part whose libraries are missing; an import error of our own stays what it is."""
    if (error.name or "").startswith("quarterdeck"):
        raise error
    return NotInstalled(
        f"'qd {command}' needs the package {error.name}, which is not installed.",
        hint=f"Install it: pip install 'quarterdeck[{extra}]'",
    )
