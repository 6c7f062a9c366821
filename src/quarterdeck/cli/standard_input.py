"""Standard input of `qd run` for the remote program: read to its end, and sent with the command or as a file.

Without an option it reads a file, and a pipe or socket that has data or is closed. It never waits for a silent pipe:
the process that started `qd` may keep it open for ever. Input that is too long for the command is written to a
temporary file, of any size, and uploaded like any other file.
"""

from __future__ import annotations

import hashlib
import os
import select
import stat
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from quarterdeck.cli import output
from quarterdeck.cli.progress import Progress
from quarterdeck.client import Client
from quarterdeck.client.transfers import STEP_BYTES, Measured
from quarterdeck.model.errors import BadInput, StorageFull
from quarterdeck.model.jobs import COMMAND_LIMIT_BYTES

#: bytes that are sent with the command; more is uploaded as a content
INLINE_BYTES = COMMAND_LIMIT_BYTES // 2
#: how long to wait for the first data in a pipe
SILENT_S = 0.2
#: where it is kept until it is uploaded, unless TMPDIR names a folder; /tmp may be in memory
SPOOL_FOLDER = Path("/var/tmp")  # noqa: S108 (the file in it is made anew, for this user alone)


class Given(NamedTuple):
    """The input of a program: text that is sent with the command, or the hash of an uploaded file."""

    data: str = ""
    sha256: str = ""


def give(client: Client, *, wanted: bool | None, progress: Progress) -> Given:
    """Read the piped input and make it available to the node. `wanted`: None decides by what is piped in."""
    if wanted is False or (wanted is None and not _piped()):
        return Given()
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] (closed by whoever started `qd`)
        raise BadInput("Expected data on standard input, but it is closed.", hint="Leave out --stdin.")
    source = sys.stdin.buffer
    begin = source.read(INLINE_BYTES + 1)
    if len(begin) <= INLINE_BYTES:
        try:
            return Given(data=begin.decode())
        except UnicodeDecodeError:  # a content can hold any bytes
            pass
    folder = os.environ.get("TMPDIR") or (SPOOL_FOLDER if os.access(SPOOL_FOLDER, os.W_OK) else None)
    with tempfile.NamedTemporaryFile(prefix="qd-stdin-", dir=folder) as file:
        path = Path(file.name)
        measured = _spool(begin, source, cast("BinaryIO", file), folder=path.parent)
        name, report = "standard input", progress.of_transfer("standard input to the server")
        try:
            return Given(sha256=client.files.upload(path, name=name, measured=measured, progress=report).sha256)
        finally:
            progress.clear()


def _piped() -> bool:
    """Return whether there is input that is meant for the program."""
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError, AttributeError):  # there is none, it is closed, or it is a test's
        return False
    if stat.S_ISREG(mode):
        return True
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    if select.select([descriptor], [], [], SILENT_S)[0]:
        return True
    output.errors.print(
        "[dim]Standard input has no data yet, and is not passed on: use --stdin to wait for it.[/]", soft_wrap=True
    )
    return False


def _spool(begin: bytes, source: BinaryIO, file: BinaryIO, *, folder: Path) -> Measured:
    """Write all that comes to the file. Raise `StorageFull` when its disk or a quota ends."""
    hashed, size, data = hashlib.sha256(), 0, begin
    try:
        while data:
            file.write(data)
            hashed.update(data)
            size += len(data)
            data = source.read(STEP_BYTES)
        file.flush()
    except OSError as error:
        raise StorageFull(
            f"Standard input is kept in {folder} until it is sent, and {size} bytes of it are read: {error.strerror}.",
            hint="Set TMPDIR to a folder with more room, or send a file with `qd file push`.",
        ) from error
    return Measured(hashed.hexdigest(), size)
