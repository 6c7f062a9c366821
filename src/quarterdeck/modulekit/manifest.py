"""`module.toml` → `Manifest`: every mistake is found here with its place, or not at all.

Owns TOML, types, unknown keys and the line a mistake is on. Whether names and values make sense is `rules`', whether
they fit the program is `check`'s.
"""

from __future__ import annotations

import re
import tomllib
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import Manifest
from quarterdeck.modulekit.folder import MANIFEST
from quarterdeck.modulekit.names import nearest
from quarterdeck.modulekit.rules import Path, problems

_SHOWN_CHARACTERS = 60  # of a string that is wrong


def parse_manifest(content: bytes) -> Manifest:
    """The manifest in the bytes of a `module.toml`; `BadManifest` says which line, what was expected and found."""
    try:
        text = content.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise BadManifest(f"{MANIFEST} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadManifest(f"{MANIFEST} is not TOML: {str(error) or 'nested too deeply'}.") from None
    places = dict(_places(text))
    try:
        _check_type(document, Manifest, ())
        manifest = msgspec.convert(document, Manifest)
        for path, problem in problems(manifest):
            raise _Misplaced(path, problem.message, problem.hint)
    except msgspec.ValidationError as error:
        raise BadManifest(f"{MANIFEST}: {error}.") from None
    except _Misplaced as error:
        line = _line(places, error.path)
        raise BadManifest(f"{MANIFEST}{line}: {error.message}", hint=error.hint) from None
    return manifest


class _Misplaced(Exception):
    """A mistake at `path`, before its line is known."""

    def __init__(self, path: Path, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.hint = hint


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """(path, line) of each header and of each key that starts a line; enough to point, not a second parser."""
    at: Path = ()
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[(\[?)\s*([^\]#]+?)\s*\]", line)
        if header:
            parts = _key_parts(header[2])
            if header[1]:
                name = ".".join(parts)
                seen[name] = seen.get(name, -1) + 1
            at = _indexed(parts, seen)
            yield at, number
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            yield (*at, *_key_parts(key[1])), number


def _key_parts(key: str) -> list[str]:
    return [part or quoted for quoted, part in re.findall(r"[\"']([^\"']*)[\"']|([\w-]+)", key)]


def _indexed(parts: list[str], seen: Mapping[str, int]) -> Path:
    path: list[str | int] = []
    for depth, part in enumerate(parts):
        path.append(part)
        name = ".".join(parts[: depth + 1])
        if name in seen:
            path.append(seen[name])
    return tuple(path)


def _line(places: Mapping[Path, int], path: Path) -> str:
    """` line N` of the nearest known place, and how the path is written."""
    written = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    for end in range(len(path), 0, -1):
        if path[:end] in places:
            return f" line {places[path[:end]]} ({written})"
    return f" ({written})" if written else ""


def _check_type(value: object, expected: Any, path: Path) -> None:
    """Raise `_Misplaced` at the innermost place where `value` does not have the expected type."""
    origin, arguments = get_origin(expected), get_args(expected)
    if isinstance(expected, type) and issubclass(expected, msgspec.Struct):
        _check_struct(value, expected, path)
    elif origin is dict and isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            _check_type(item, arguments[1], (*path, key))
    elif origin is tuple and isinstance(value, list) and arguments[1:] == (...,):
        for index, item in enumerate(cast("list[object]", value)):
            _check_type(item, arguments[0], (*path, index))
    else:
        try:
            msgspec.convert(cast("object", value), cast("Any", expected))
        except msgspec.ValidationError:
            raise _Misplaced(path, _type_problem(cast("object", value), expected)) from None


def _check_struct(value: object, expected: type[msgspec.Struct], path: Path) -> None:
    if not isinstance(value, dict):
        raise _Misplaced(path, f"expected a table, found {_toml_type(value)}.")
    given = cast("dict[str, object]", value)
    types_of = get_type_hints(expected)
    fields = {field.encode_name: field for field in msgspec.structs.fields(expected)}
    for key, item in given.items():
        if key not in fields:
            raise _Misplaced((*path, key), f"there is no key '{key}' here.", nearest(key, fields))
        _check_type(item, types_of[fields[key].name], (*path, key))
    for key, field in fields.items():
        if field.required and key not in given:
            raise _Misplaced(path, f"the key '{key}' is missing.", f'Add {key} = "…".')


def _type_problem(value: object, expected: Any) -> str:
    return f"expected {_words(expected)}, found {_toml_type(value)}."


def _words(expected: Any) -> str:
    """A type as someone who writes TOML calls it."""
    arms = [arm for arm in get_args(expected) if arm is not types.NoneType]
    kind = get_origin(expected) or expected
    if kind in {types.UnionType, Union}:
        return " or ".join(map(_words, arms))
    if issubclass(kind, Enum):
        return f"one of {', '.join(str(choice.value) for choice in kind)}"
    named = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", dict: "a table"}
    return named.get(kind, "an array")


def _toml_type(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the string '{value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + '…'}'"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, list):
        return "an array"
    return "a table" if isinstance(value, dict) else f"a {type(value).__name__}"
