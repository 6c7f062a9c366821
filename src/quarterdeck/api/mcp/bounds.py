"""Sizes of answers: a language model reads all of an answer, so each is small and says when something was cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

Item = TypeVar("Item")

#: bytes of the items of an answer, as JSON; about 16,000 tokens
ANSWER_BYTES = 48 * 1024
#: bytes that an answer may have with everything around its items
ANSWER_LIMIT_BYTES = 2 * ANSWER_BYTES
#: bytes of the output of a tool, such as a compiler, in an error
ERROR_LINES_BYTES = 8 * 1024
#: characters of one text in an answer, such as a line of a log
TEXT_CHARS = 4000


def fitting(items: Sequence[Item], limit_bytes: int = ANSWER_BYTES) -> Sequence[Item]:
    """Return as many of the first items as `limit_bytes` hold as JSON."""
    left = limit_bytes
    for place, item in enumerate(items):
        left -= len(msgspec.json.encode(item)) + 1
        if left < 0:
            return items[:place]
    return items


def beginning(text: str, limit: int = TEXT_CHARS) -> str:
    """Return the text, or its beginning and how many characters were cut."""
    return text if len(text) <= limit else f"{text[:limit]}… [{len(text) - limit} characters cut]"


def end(text: str, limit: int) -> str:
    """Return the text, or its end and how many characters were cut before it."""
    return text if len(text) <= limit else f"[{len(text) - limit} characters cut] …{text[len(text) - limit :]}"
