"""The library for Python scripts that a node runs (`execute_js_py`): reads their input, and prints their messages.

    from quarterdeck import script
    wanted = script.data()
    script.message(7, "the disk is nearly full")
    script.stat("backup.bytes:1024|c")
    script.result({"saved": True})

It prints marked lines on standard output, as any program can, and reads standard input; it imports no other module of
Quarterdeck.
"""

from __future__ import annotations

import json
import sys
from typing import Any

#: the levels of a result that is JSON, and of a statsd sample, numbered as in the requirement document
RESULT_LEVEL, STATSD_LEVEL = 20, 10
_BLOCK_END = ":::"


def text() -> str:
    """Return the job's data: all of standard input."""
    return sys.stdin.read()


def data() -> Any:
    """Return the job's data, decoded from JSON; None when there is none."""
    passed = text()
    return json.loads(passed) if passed.strip() else None


def message(level: int, text: str) -> None:
    """Print a message of this level: 3 for users, 4 for operators, 5 log, 7 warning, 8 error, 9 critical, 11 debug.

    A text of several lines is one message. A line that is exactly `:::` would end it, and gets a space before it.
    """
    lines = text.removesuffix("\n").split("\n")
    if len(lines) == 1:
        _say(f"{level}::{lines[0]}")
        return
    body = "\n".join(f" {line}" if line.rstrip("\r") == _BLOCK_END else line for line in lines)
    _say(f"{level}:::\n{body}\n{_BLOCK_END}")


def result(value: Any) -> None:
    """Set the result of the job, as JSON. The last call counts."""
    _say(f"{RESULT_LEVEL}::{json.dumps(value)}")


def stat(sample: str) -> None:
    """Print a statsd sample, such as "backup.seconds:12|ms"."""
    _say(f"{STATSD_LEVEL}::{sample}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
