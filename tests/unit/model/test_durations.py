"""Durations: their written forms, and the places where a text can replace a number of seconds."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.model.config import AgentConfig
from quarterdeck.model.durations import Seconds, parse_duration, with_seconds
from quarterdeck.model.errors import BadInput
from quarterdeck.model.extensions import ExtensionConfig
from quarterdeck.model.services import Service


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("10m", 600),
        ("1h30m", 5400),
        ("3d", 259_200),
        ("1w", 604_800),
        ("1y", 31_536_000),
        (" 2s ", 2),
        ("0s", 0),
    ],
)
def test_durations_are_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "10", "s", "1 s", "-1s", "1.s", "1h 30m", "1h30", "five seconds", "1S", "1h,1m"]
)
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadInput, match="is not a duration") as caught:
        parse_duration(text)
    assert "12h" in caught.value.hint


@given(st.text(max_size=20))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert parse_duration(text) >= 0


def test_texts_of_durations_become_seconds_wherever_they_stand_and_nothing_else_changes() -> None:
    written = {"name": "1s", "grace": "2m", "env": {"WAIT": "1s"}, "max_time": -1, "health": {"interval": "500ms"}}
    assert with_seconds(written, Service) == written | {"grace": 120.0, "health": {"interval": 0.5}}
    assert with_seconds({"stats": {"flush_s": "1m"}, "token": "1s"}, AgentConfig) == {
        "stats": {"flush_s": 60.0},
        "token": "1s",
    }
    assert with_seconds({"a": {"max_time": "1h"}}, dict[str, ExtensionConfig]) == {"a": {"max_time": 3600.0}}
    assert with_seconds("1s", Seconds | None) == 1.0
    assert with_seconds("1s", str) == "1s"


def test_a_text_that_is_no_duration_is_refused_with_its_key_and_what_was_expected() -> None:
    with pytest.raises(BadInput, match=r"health\.interval is a number of seconds, or a duration such as .*'1 sec'"):
        with_seconds({"health": {"interval": "1 sec"}}, Service)


def test_the_schema_says_that_the_number_is_seconds() -> None:
    schema = msgspec.json.schema(Service)["$defs"]["HealthCheck"]["properties"]["interval"]
    assert (schema["type"], schema["description"]) == ("number", "seconds")
