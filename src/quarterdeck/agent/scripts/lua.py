"""Runs one Lua script: `python -m quarterdeck.agent.scripts.lua TITLE SCRIPT ARGS…`, a separate program.

Lua 5.4 with its standard library, as the program `lua` runs it: `arg`, standard streams, exit code 1 and a traceback on
standard error when the script fails; but without modules written in C. In addition `require "quarterdeck"` works
(`quarterdeck.lua`, in this folder). The agent never imports this module.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lupa import lua54  # type: ignore[import-untyped]

#: tables within tables; a deeper one is assumed to contain itself
_DEPTH = 100


def main(title: str, script: str, *args: str) -> int:
    """Run `script` and return the exit code. `title` names it in errors."""
    for name in ("SIGINT", "SIGPIPE"):  # Lua does not use Python's handlers
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_DFL)
    # texts are bytes in both directions, as in Lua; nothing of Python is visible
    lua: Any = cast("Any", lua54).LuaRuntime(
        encoding=None, register_eval=False, register_builtins=False, unpack_returned_tuples=True
    )
    lua.globals()[b"python"] = None
    prelude = Path(__file__).with_name("quarterdeck.lua").read_bytes()
    run = lua.globals()[b"load"](prelude, b"=quarterdeck")()

    def from_json(text: bytes) -> Any:
        return _to_lua(lua, json.loads(text))

    def to_json(value: Any) -> bytes:
        return json.dumps(_to_python(value, lua54.lua_type)).encode()

    own = [word.encode(errors="surrogateescape") for word in (title, script, *args)]
    return int(run(to_json, from_json, _spawn, *own))


def _spawn(program: bytes, mode: bytes) -> tuple[bytes, Callable[[], None], Callable[[], int]]:
    """Return, for `io.popen`, the path of a program's pipe, what to call once it is open, and what waits for it."""
    reads, writes = os.pipe()
    ours, its = (reads, writes) if mode == b"r" else (writes, reads)
    stream = {"stdout" if mode == b"r" else "stdin": its}
    started = subprocess.Popen(program, shell=True, **stream)  # type: ignore[call-overload]  # noqa: S602
    os.close(its)
    return b"/dev/fd/%d" % ours, lambda: os.close(ours), started.wait


def _to_lua(lua: Any, value: Any) -> Any:
    match value:
        case str():
            return value.encode()
        case list():
            items = cast("list[Any]", value)
            return lua.table_from({place: _to_lua(lua, each) for place, each in enumerate(items, 1)})
        case dict():
            fields = cast("dict[str, Any]", value)
            return lua.table_from({key.encode(): _to_lua(lua, each) for key, each in fields.items()})
        case _:
            return value


def _to_python(value: Any, kind: Any, depth: int = 0) -> Any:
    """Convert values of Lua for JSON: a table with the keys 1 to n or without keys is a list; others are objects."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if value is None or isinstance(value, bool | int | float):
        return value
    if kind(value) != "table":
        raise ValueError(f"a {kind(value)} cannot be written as JSON")
    if depth == _DEPTH:
        raise ValueError(f"a table more than {_DEPTH} deep, or within itself, cannot be written as JSON")
    found = {key: _to_python(each, kind, depth + 1) for key, each in value.items()}
    if all(type(key) is int and 1 <= key <= len(found) for key in found):
        return [found[place] for place in range(1, len(found) + 1)]
    return {_to_key(key): each for key, each in found.items()}


def _to_key(key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode(errors="replace")
    if isinstance(key, int | float) and not isinstance(key, bool):
        return f"{key:g}" if isinstance(key, float) else str(key)
    raise ValueError("a key that is neither text nor a number cannot be written as JSON")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
