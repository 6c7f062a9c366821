"""Commands that end with the call of `qd` that asked for them, from the first moment on.

The id of a command is made here, before anything is sent. Whoever ends the call while the server is being asked
therefore ends the jobs too, though no answer came. `results.py` then follows the command.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from contextlib import suppress

import msgspec
from rich.markup import escape

from quarterdeck.cli import leaving, output, results
from quarterdeck.cli.leaving import on_signals
from quarterdeck.cli.results import View
from quarterdeck.client import Client
from quarterdeck.model.errors import NotFound, QuarterdeckError, TimedOut, Unavailable
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand

#: between tries to end what the server may be about to store
RETRY_S = 0.2


def ask_and_follow(client: Client, request: CreateCommand, view: View) -> None:
    """Ask, and follow as `results.follow` does. The first signal lets the server answer and ends the jobs then."""
    own = not request.id
    request = msgspec.structs.replace(request, id=request.id or str(uuid.uuid4()))
    told = threading.Event()
    try:
        with on_signals(told.set):
            made = _ask(client, request, told)
            own = True
        if told.is_set():
            raise KeyboardInterrupt
        results.follow(client, made, view)
    except KeyboardInterrupt:
        if own:
            _end(client, request.id, limit_s=view.end_s)
        else:  # the id may be that of an earlier command, of which the server was about to tell
            output.errors.print(
                f"\nWhether it runs is not known: see `qd job show {escape(request.id)}`.", soft_wrap=True
            )
        sys.exit(leaving.exit_code())


def _ask(client: Client, request: CreateCommand, told: threading.Event) -> CommandWithJobs:
    try:
        return client.commands.create(request)
    except (TimedOut, Unavailable) as error:  # it may have been stored nevertheless
        if told.is_set():
            raise KeyboardInterrupt from error
        raise


def _end(client: Client, id_: str, *, limit_s: float) -> None:
    """End it, also when the server has not stored it yet; what was never asked need not be ended."""
    with suppress(OSError):  # the terminal may be gone
        output.errors.print("\n[dim]Ending the jobs.[/]")
    until = time.monotonic() + limit_s
    while True:
        try:
            client.commands.kill(id_)
        except NotFound:
            if time.monotonic() > until:
                return
            time.sleep(RETRY_S)
        except QuarterdeckError as error:
            output.print_error(error)
            return
        else:
            return
