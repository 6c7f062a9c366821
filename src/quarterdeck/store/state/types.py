"""Column types: how a value of the model is stored in a row. They do not depend on any table.

A struct that no query searches is stored as JSON text (`Json`); an enum as its value (`Word`). Both are read back as
the model's type, so that no separate row class is needed.
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
        """Return the JSON text of `value`."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:  # noqa: ARG002
        """Return the value that was stored."""
        return None if value is None else msgspec.json.decode(value, type=self.kind)


class Word(TypeDecorator[E]):
    """A member of a `StrEnum`, stored as its value."""

    impl = String
    cache_ok = True

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the member's value."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:  # noqa: ARG002
        """Return the member."""
        return None if value is None else self.kind(value)
