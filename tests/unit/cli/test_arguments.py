from __future__ import annotations

import pytest

from quarterdeck.cli.arguments import key_value, selector, settings
from quarterdeck.model.errors import BadInput
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.nodes import Selector


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


def test_a_selector_is_all_that_was_given() -> None:
    assert selector([], [], None) == Selector()
    assert selector(["role=web", "site=n"], ["a", "1/2"], 3) == Selector(
        labels={"role": "web", "site": "n"}, nodes=("a", "1/2"), gid=3
    )
