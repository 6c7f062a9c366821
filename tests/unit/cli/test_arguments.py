from __future__ import annotations

import time

import pytest

from quarterdeck.cli.arguments import key_value, levels, moment, settings
from quarterdeck.model.errors import BadInput
from quarterdeck.model.manifests import SettingValue


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("1.5", 1.5),
        ("0x1F", 31),
        ("0xyz", "0xyz"),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("[1,2,3]", [1, 2, 3]),
        ("[1.5]", [1.5]),
        ('["a"]', '["a"]'),
        ("bash", "bash"),
        ("", ""),
        ("a=b", "a=b"),
        ('"1"', '"1"'),
    ],
)
def test_a_setting_is_what_it_looks_like(text: str, value: SettingValue) -> None:
    found = settings([f"name={text}"])["name"]
    assert found == value
    assert type(found) is type(value)


def test_the_last_of_two_settings_of_a_name_wins() -> None:
    assert settings(["a=1", "b=2", "a=3"]) == {"a": 3, "b": 2}


@pytest.mark.parametrize("text", ["", "name", "=value"])
def test_half_a_pair_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=f"Expected a label as key=value, found '{text}'"):
        key_value(text, "a label")


NOON_S = 1_763_726_400.0


@pytest.mark.parametrize(("written", "utc", "ago_s"), [("10s", False, 10), ("1h30m", True, 5400)])
def test_a_time_is_how_long_ago(written: str, utc: bool, ago_s: float) -> None:
    before = time.time()
    assert before <= moment(written, utc=utc) + ago_s <= time.time()


@pytest.mark.parametrize(
    ("written", "utc", "found_s"),
    [
        ("2025-11-21T12:00:00", True, NOON_S),
        ("2025-11-21T12:00:00", False, NOON_S - 3600),
        ("2025-11-21T13:00:00+01:00", True, NOON_S),
        ("2025-11-21", True, NOON_S - 12 * 3600),
    ],
)
def test_a_time_is_a_date_of_the_terminal_s_time_zone(
    written: str, utc: bool, found_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert moment(written, utc=utc) == found_s
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("warning", "7"),
        ("warning,critical", "7,9"),
        ("ops-error, STDERR", "2,8"),
        ("7-9", "7-9"),
        ("*", "*"),
        ("stdout,3-5", "1,3-5"),
    ],
)
def test_levels_are_named_or_numbered(written: str, numbers: str) -> None:
    assert levels(written) == numbers


@pytest.mark.parametrize(
    ("written", "words"), [("loud", "There is no level 'loud'"), ("0", "0 is not a level"), ("7-", "neither a level")]
)
def test_what_is_no_level_is_said(written: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        levels(written)
