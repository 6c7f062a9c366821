"""Validation errors of msgspec, translated into plain text for the user who wrote the value."""

from __future__ import annotations

import re

import msgspec

_MISSING = re.compile(r"Object missing required field `(?P<name>.+?)`(?: - at `(?P<place>.*)`)?")
_UNLIKE = re.compile(
    r"Expected `(?P<wanted>[^`]+)`(?P<bounds>[^,]*?)(?:, got `(?P<found>[^`]+)`)?(?: - at `(?P<place>.*)`)?"
)
_KINDS = {
    "str": "a text",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "array": "a list",
    "object": "names with values",
    "null": "nothing",
}


def in_words(error: msgspec.ValidationError, whole: str) -> str:
    """Return the error as a clause without a full stop, such as "args is a list; found a text".

    `whole` is the name of the outermost value.
    """
    text = str(error)
    if (missing := _MISSING.fullmatch(text)) is not None:
        return f"{_place(missing['place'], whole)} needs '{missing['name']}'"
    if (unlike := _UNLIKE.fullmatch(text)) is not None:
        found = f"; found {_kinds(unlike['found'])}" if unlike["found"] else ""
        return f"{_place(unlike['place'], whole)} is {_kinds(unlike['wanted'])}{unlike['bounds']}{found}"
    return text.replace("`$.", "`").replace("`$`", whole)


def _place(path: str | None, whole: str) -> str:
    place = (path or "").replace("`", "").replace("$.", "").removeprefix("$")
    return f"a value of {place.removesuffix('[...]') or whole}" if place.endswith("[...]") else place or whole


def _kinds(types: str) -> str:
    return " or ".join(_KINDS.get(each, each) for each in types.split(" | "))
