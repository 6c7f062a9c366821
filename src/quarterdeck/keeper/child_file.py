"""The file of one child: the record for a later keeper, as JSON objects, one a line.

Owns the format. The last line is the exit. A line that was cut off (by a full disk or the keeper's death) is ignored;
the lines before and after it are valid.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from collections.abc import Sequence

    from quarterdeck.keeper.protocol import Header


def append(path: str, lines: Sequence[Header]) -> None:
    """Append these lines, all or nothing. Raise `OSError` when the disk takes no more."""
    # A partial line may remain in the file: a line end before each object keeps it apart.
    data = b"".join(b"\n%b\n" % json.dumps(line).encode() for line in lines)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)
            raise OSError(f"{path} takes no more")
    finally:
        os.close(descriptor)


def parse(content: bytes) -> tuple[Header, Header | None]:
    """Return what the file says of the child, and of its exit; None while it runs."""
    told: Header = {}
    ended: Header | None = None
    for line in content.splitlines():
        try:
            said: Header = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(said, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            continue
        if "code" in said:
            ended = said
        else:
            told |= said
    return told, ended
