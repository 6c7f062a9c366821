"""Text that users pass to `qd`: it is sent to servers and nodes, so it must be UTF-8, whatever its source."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from quarterdeck.cli.terminal import plain
from quarterdeck.model.errors import BadInput, NotFound, QuarterdeckError, TooLarge
from quarterdeck.model.jobs import COMMAND_LIMIT_BYTES

_LENGTH = 100


def check_text(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise `BadInput` when an argument or one of our variables contains bytes that are not UTF-8."""
    for number, argument in enumerate(arguments, 1):
        if not _is_text(argument):
            raise BadInput(
                f"Argument {number} is not UTF-8: '{plain(argument[:_LENGTH])}'.",
                hint="Rename a file with such a name; send binary data in a file, with `qd file push`.",
            )
    for name, value in environment.items():
        if name.startswith("QD_") and not (_is_text(name) and _is_text(value)):
            raise BadInput(f"The variable {plain(name)} is not UTF-8: '{plain(value[:_LENGTH])}'.")


def standard_input() -> str:
    """Return standard input as text, with its line ends. Raise `TooLarge`, or `BadInput` when it is not UTF-8."""
    read = sys.stdin.buffer.read(COMMAND_LIMIT_BYTES + 1)
    if len(read) > COMMAND_LIMIT_BYTES:
        raise TooLarge(
            f"Standard input is passed on up to {COMMAND_LIMIT_BYTES} bytes; there are more.",
            hint="Send it as a file with `qd file push`, and have the program read that.",
        )
    try:
        return read.decode()
    except UnicodeDecodeError as error:
        raise BadInput(
            f"Standard input is not text in UTF-8: {error}.", hint="Send other bytes with `qd file push`."
        ) from error


def unreadable(path: Path, error: OSError, *, hint: str = "") -> QuarterdeckError:
    """Return the error for a local file that cannot be read: `NotFound` when there is none, else `BadInput`."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound(f"There is no file '{path}' here.", hint=hint)
    return BadInput(f"{path} cannot be read: {error.strerror}.", hint=hint)


def _is_text(given: str) -> bool:
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True
