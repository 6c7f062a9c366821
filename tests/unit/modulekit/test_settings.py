"""Values for settings are checked before they are sent."""

from __future__ import annotations

import pytest

from quarterdeck.model.errors import BadSetting
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import Setting
from quarterdeck.modulekit.settings import check_settings


def setting(kind: str, size: int, values: dict[str, str] | None = None) -> Setting:
    return Setting(name="s", section=".rodata", offset=0, size=size, type=kind, values=values or {})


MODES = {"0": "QUIET", "5": "LOUD"}

GOOD: list[tuple[Setting, SettingValue]] = [
    (setting("bool", 1), True),
    (setting("int", 1), -128),
    (setting("uint", 8), (1 << 64) - 1),
    (setting("float", 8), 2),
    (setting("chars", 16), "x" * 15),
    (setting("enum", 4, MODES), "LOUD"),
    (setting("enum", 4, MODES), 5),
    (setting("uint[4]", 16), [1, 2]),
    (setting("bytes", 6), "02:00".replace(":", "")),
]
BAD: list[tuple[Setting, SettingValue, str]] = [
    (setting("bool", 1), 1, "true or false"),
    (setting("int", 1), 128, "a whole number from -128 to 127"),
    (setting("int", 4), True, "a whole number"),
    (setting("uint", 2), -1, "a whole number from 0 to 65535"),
    (setting("uint", 2), "80", "found '80'"),
    (setting("float", 8), "0.5", "a number"),
    (setting("chars", 4), "four", "text of at most 3 bytes"),
    (setting("chars", 16), "a\0b", "without NUL"),
    (setting("enum", 4, MODES), "SHOUT", "one of QUIET, LOUD"),
    (setting("uint[2]", 8), [1, 2, 3], "a list of at most 2 values"),
    (setting("uint[2]", 8), 1, "a list of at most 2 values"),
    (setting("uint[2]", 8), [-1], "a whole number from 0"),
    (setting("bytes", 2), "zz", "2 bytes in hex"),
]


@pytest.mark.parametrize(("one", "value"), GOOD)
def test_takes_what_fits(one: Setting, value: SettingValue) -> None:
    check_settings([one], {"s": value})


@pytest.mark.parametrize(("one", "value", "said"), BAD)
def test_refuses_what_does_not(one: Setting, value: SettingValue, said: str) -> None:
    with pytest.raises(BadSetting) as caught:
        check_settings([one], {"s": value})
    assert said in caught.value.message


def test_names_the_setting_that_was_meant() -> None:
    with pytest.raises(BadSetting, match=r"no setting 'z'"):
        check_settings([setting("bool", 1)], {"z": True})
