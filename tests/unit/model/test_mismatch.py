from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from quarterdeck.model.mismatch import in_words


class Inner(msgspec.Struct, frozen=True):
    port: Annotated[int, msgspec.Meta(ge=1)] = 1


class Outer(msgspec.Struct, frozen=True):
    cmd: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    until: int | None = None
    share: float = 0.0
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "run needs 'cmd'"),
        ([], "run is names with values; found a list"),
        ({"cmd": "a", "args": "hello"}, "args is a list; found a text"),
        ({"cmd": "a", "args": ["a", 1]}, "args[1] is a text; found a whole number"),
        ({"cmd": "a", "env": {"A": 1}}, "a value of env is a text; found a whole number"),
        ({"cmd": "a", "until": "noon"}, "until is a whole number or nothing; found a text"),
        ({"cmd": "a", "share": "half"}, "share is a number; found a text"),
        ({"cmd": "a", "inner": {"port": 0}}, "inner.port is a whole number >= 1"),
        ({"cmd": None}, "cmd is a text; found nothing"),
    ],
)
def test_a_value_that_does_not_fit_is_said_in_words(value: object, words: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert(value, Outer)
    assert in_words(raised.value, "run") == words


def test_what_msgspec_says_otherwise_is_said_as_it_is() -> None:
    assert in_words(msgspec.ValidationError("Invalid enum value 'x' - at `$.state`"), "run") == (
        "Invalid enum value 'x' - at `state`"
    )
