"""Settings become the bytes of their C type, or are refused with what would fit."""

from __future__ import annotations

import struct

import pytest

from quarterdeck.agent.modules.settings import chosen_settings, setting_bytes, transform_settings
from quarterdeck.model.errors import BadSetting
from quarterdeck.model.manifests import Manifest, SettingSpec, SettingValue
from quarterdeck.model.modules import Artefact, Build, Setting


def setting(kind: str, size: int, values: dict[str, str] | None = None) -> Setting:
    return Setting(name="s", section=".rodata", offset=0, size=size, type=kind, values=values or {})


@pytest.mark.parametrize(
    ("kind", "size", "value", "expected"),
    [
        ("bool", 1, True, b"\1"),
        ("uint", 4, 0xFFFFFFFF, b"\xff" * 4),
        ("int", 8, -2, struct.pack("<q", -2)),
        ("float", 8, 1.5, struct.pack("<d", 1.5)),
        ("float", 4, 2, struct.pack("<f", 2)),
        ("chars", 8, "bash", b"bash\0\0\0\0"),
        ("uint[3]", 6, [1, 2], b"\1\0\2\0"),
        ("bool[2]", 2, [True, False], b"\1\0"),
        ("bytes", 4, "0a0b", b"\x0a\x0b\0\0"),
    ],
)
def test_values_that_fit(kind: str, size: int, value: SettingValue, expected: bytes) -> None:
    assert setting_bytes(setting(kind, size), value) == expected


@pytest.mark.parametrize("value", ["READ", 1])
def test_enums_by_name_and_number(value: SettingValue) -> None:
    assert setting_bytes(setting("enum", 4, values={"0": "NONE", "1": "READ"}), value) == b"\1\0\0\0"
    assert setting_bytes(setting("enum", 4, values={"-1": "BAD", "1": "READ"}), "BAD") == b"\xff" * 4


@pytest.mark.parametrize(
    ("kind", "size", "value", "words"),
    [
        ("bool", 1, 1, "true or false"),
        ("uint", 1, 256, "from 0 to 255"),
        ("uint", 4, -1, "from 0 to 4294967295"),
        ("int", 1, 128, "from -128 to 127"),
        ("int", 4, "5", "a whole number"),
        ("uint", 4, True, "a whole number"),
        ("float", 4, 1e300, "fits 4 bytes"),
        ("float", 8, "1", "a number"),
        ("chars", 4, "long", "at most 3 bytes"),
        ("chars", 4, "a\0", "without NUL"),
        ("uint[2]", 8, [1, 2, 3], "a list of at most 2"),
        ("uint[2]", 8, 1, "a list of at most 2"),
        ("bytes", 2, "xyz", "at most 2 bytes in hex"),
        ("enum", 4, "WRITE", "one of"),
    ],
)
def test_values_that_do_not_fit(kind: str, size: int, value: SettingValue, words: str) -> None:
    with pytest.raises(BadSetting, match="Setting 's'") as caught:
        setting_bytes(setting(kind, size), value)
    assert words in str(caught.value)


def build() -> Build:
    settings = (setting("uint", 4), Setting(name="w", section="wasm", offset=0, size=4, type="uint"))
    manifest = Manifest(name="m", settings={"s": SettingSpec(default=7), "w": SettingSpec()})
    return Build(manifest=manifest, digest="", object=Artefact(name="o", sha256="", size=0), settings=settings)


def test_the_manifests_defaults_are_used_unless_something_is_set() -> None:
    assert chosen_settings(build(), {}) == {"s": 7}
    assert chosen_settings(build(), {"s": 8, "w": 2}) == {"s": 8, "w": 2}
    assert transform_settings(build(), {"s": 8, "w": 2}) == {"w": 2}
    with pytest.raises(BadSetting, match="has no setting 'x'; it has: s, w"):
        chosen_settings(build(), {"x": 1})
