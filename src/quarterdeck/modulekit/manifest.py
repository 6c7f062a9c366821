"""`module.toml` → `Manifest`, with the line of every mistake.

It owns TOML, types, unknown keys and the line of a mistake. `rules` checks names and values, and `check` compares them
with the program.
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
from quarterdeck.modulekit.meanings import C_TYPES
from quarterdeck.modulekit.names import nearest
from quarterdeck.modulekit.rules import Path, problems

MAX_BYTES = 256 << 10  # a hundred times the size of the longest manifest
_DURATIONS = {"interval": "s", "retention": "d"}  #: key → the most likely unit of a number without one
_SHOWN_CHARACTERS = 60  # characters of a wrong string that are shown


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest of a `module.toml`. Raise `BadManifest` with the line, and what was expected and found."""
    if len(content) > MAX_BYTES:
        raise BadManifest(f"{MANIFEST} has {len(content)} bytes, more than {MAX_BYTES >> 10} KiB.")
    try:
        text = content.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise BadManifest(f"{MANIFEST} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadManifest(f"{MANIFEST} is not TOML: {str(error) or 'nested too deeply'}.") from None
    places = dict(_places(text))
    document, written = _each_target(document)
    try:
        _check_type(document, Manifest, ())
        manifest = msgspec.convert(document, Manifest)
        for path, problem in problems(manifest):
            raise _Misplaced(path, problem.message, problem.hint)
    except msgspec.ValidationError as error:
        raise BadManifest(f"{MANIFEST}: {error}.") from None
    except _Misplaced as error:
        path = error.path
        if len(path) > 1 and path[0] == "probe" and isinstance(path[1], int):
            path = ("probe", written[path[1]], *path[2:])
        line = _line(places, path)
        raise BadManifest(f"{MANIFEST}{line}: {error.message}", hint=error.hint) from None
    return manifest


class _Misplaced(Exception):
    """A mistake at `path`, before its line is known."""

    def __init__(self, path: Path, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.hint = hint


def _each_target(document: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """Return the document with one [[probe]] for each target, and the original index of each."""
    probes = document.get("probe")
    if not isinstance(probes, list):
        return document, []
    spread: list[object] = []
    written: list[int] = []
    for index, probe in enumerate(cast("list[object]", probes)):
        given = cast("dict[str, object]", probe) if isinstance(probe, dict) else {}
        targets = given.get("target")
        each = [{**given, "target": one} for one in cast("list[object]", targets)] if isinstance(targets, list) else []
        spread += each or [probe]
        written += [index] * max(len(each), 1)
    return {**document, "probe": spread}, written


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Return (path, line) of each header and of each key at the start of a line. This is enough for messages."""
    at: Path = ()
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[(\[?)([^\[\]#]+)\]", line)
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
    """Return ` line N` of the nearest known place, and the path in written form."""
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
            found = cast("object", value)
            raise _Misplaced(path, _type_problem(found, expected), _type_hint(path, found, expected)) from None


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


def _type_hint(path: Path, value: object, expected: Any) -> str:
    """Return a hint at the value that may have been meant."""
    if (
        isinstance(path[-1], str)
        and path[-1] in _DURATIONS
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    ):
        return f'Write it with its unit: {path[-1]} = "{value}{_DURATIONS[path[-1]]}".'
    choices = [str(c.value) for arm in (*get_args(expected), expected) if _is_enum(arm) for c in arm]
    if not choices or not isinstance(value, str):
        return ""
    meant = C_TYPES.get(" ".join(value.split()))
    return f'Did you mean "{meant}"?' if meant in choices else nearest(value, choices)


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _words(expected: Any) -> str:
    """Return the name of a type for authors of TOML."""
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
