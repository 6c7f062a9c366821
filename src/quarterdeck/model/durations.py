"""Durations as users write them: a number of seconds, or text with units such as "500ms", "1s" or "1h30m".

`Seconds` marks the fields that hold a duration. A struct always holds a number of seconds; the code that reads a user's
file or environment calls `with_seconds` to replace the texts before it creates the structs.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from quarterdeck.model.errors import BadInput

_MARK = "duration"
#: a field that holds a duration
Seconds = Annotated[float, Meta(description="seconds", extra={_MARK: True})]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


def parse_duration(text: str) -> float:
    """Return the seconds of `text`, such as "250ms", "1.5s", "10m" or "1h30m". Raise `BadInput` for other text."""
    parts = _DURATION.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise BadInput(f"'{text}' is not a duration.", hint="Write a number and a unit: 250ms, 10s, 5m, 12h, 3d, 1w.")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def with_seconds(value: object, kind: Any, *, name: str = "") -> Any:
    """Return a user's `value` for the type `kind` with each text of a duration replaced by its seconds.

    All other values are unchanged. `name` is the name of the value in errors. Raise `BadInput` with the key when its
    text is not a duration.
    """
    return _read(value, msgspec.inspect.type_info(kind), name)


def _read(value: object, kind: msgspec.inspect.Type, name: str) -> Any:
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    if isinstance(value, str) and any(map(_is_duration, kinds)):
        return _seconds(value, name)
    if isinstance(value, dict):
        given = cast("dict[Any, object]", value)
        for each in kinds:
            match each:
                case msgspec.inspect.StructType(fields=fields):
                    known = {field.encode_name: field.type for field in fields}
                    return {key: _read(part, known[key], _joined(name, key)) if key in known else part
                            for key, part in given.items()}  # fmt: skip
                case msgspec.inspect.DictType(value_type=inner):
                    return {key: _read(part, inner, _joined(name, key)) for key, part in given.items()}
                case _:
                    continue
    return cast("Any", value)


def _is_duration(kind: msgspec.inspect.Type) -> bool:
    if not isinstance(kind, msgspec.inspect.Metadata):
        return False
    extra = cast("dict[str, Any] | None", kind.extra)  # pyright: ignore[reportUnknownMemberType]
    return extra is not None and _MARK in extra


def _joined(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def _seconds(text: str, name: str) -> float:
    try:
        return parse_duration(text)
    except BadInput as error:
        raise BadInput(
            f"{name} is a number of seconds, or a duration such as 500ms, 1s or 2m; found {text[:100]!r}.",
            hint=error.hint,
        ) from error
