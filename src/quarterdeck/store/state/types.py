"""Column types: how a word of the model is kept in a row. Nothing here knows a table.

A struct that no query looks into is one JSON text (`Json`); an enum is its own word (`Word`). Both read back as the
model's type, so that no row class stands beside the struct.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import msgspec
from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class Json(TypeDecorator[T]):
    """A struct or container as JSON text, checked when it is read."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[T]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: T | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The JSON text of `value`."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:  # noqa: ARG002
        """The value that was stored."""
        return None if value is None else msgspec.json.decode(value, type=self.kind)


class Word(TypeDecorator[E]):
    """A member of a `StrEnum`, kept as its value."""

    impl = String
    cache_ok = True

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The member's value."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:  # noqa: ARG002
        """The member."""
        return None if value is None else self.kind(value)
