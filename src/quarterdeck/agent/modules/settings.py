"""Settings as bytes: what a deploy sets, written where the program's `const volatile` globals lie.

It owns the last check before the kernel sees a value: type, range and length, whatever the server said. Settings of
transforms are left as they are; the guest's own setters take them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from quarterdeck.bpf.object import BpfObject
from quarterdeck.model.errors import BadSetting
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import TRANSFORM_SECTION, Build, Setting


def chosen_settings(build: Build, given: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """The settings that differ from the source's initial values: the manifest's defaults, overridden by `given`."""
    known = {setting.name for setting in build.settings}
    for name in given:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise BadSetting(f"Module {build.manifest.name} has no setting '{name}'; it has: {names}.")
    defaults = {name: spec.default for name, spec in build.manifest.settings.items() if spec.default is not None}
    return defaults | dict(given)


def apply_settings(opened: BpfObject, build: Build, chosen: Mapping[str, SettingValue]) -> None:
    """Write the program's settings into the first bytes of its sections. Raises BadSetting."""
    for setting in build.settings:
        if setting.name not in chosen or setting.section == TRANSFORM_SECTION:
            continue
        section = opened.maps.get(setting.section)
        if section is None or section.initial is None or setting.offset + setting.size > len(section.initial):
            raise BadSetting(f"Setting '{setting.name}' lies in section {setting.section}, which the object has not.")
        content = setting_bytes(setting, chosen[setting.name])
        section.initial[setting.offset : setting.offset + len(content)] = content


def transform_settings(build: Build, chosen: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """Those that belong to transforms."""
    own = {setting.name for setting in build.settings if setting.section == TRANSFORM_SECTION}
    return {name: value for name, value in chosen.items() if name in own}


def setting_bytes(setting: Setting, value: SettingValue) -> bytes:
    """`value` in the bytes of its C type, at most `setting.size`; BadSetting says what would fit."""
    kind, _, length = setting.type.partition("[")
    if not length:
        return _scalar(setting, kind, value, size=setting.size)
    count = int(length.rstrip("]"))
    if not isinstance(value, list) or len(value) > count:
        raise _wrong(setting, f"a list of at most {count} values", value)
    return b"".join(_scalar(setting, kind, item, size=setting.size // count) for item in value)


def _scalar(setting: Setting, kind: str, value: SettingValue, *, size: int) -> bytes:
    match kind, value:
        case "bool", bool():
            return int(value).to_bytes(size, "little")
        case "float", int() | float() if not isinstance(value, bool):
            return _float(setting, value, size=size)
        case "chars", str():
            return _text(setting, value, size=size)
        case "bytes", str():
            return _hex(setting, value, size=size)
        case "enum", str() | int() if not isinstance(value, bool):
            return _integer(setting, _enum_number(setting, value), signed=_has_negative(setting), size=size)
        case "int" | "uint", int() if not isinstance(value, bool):
            return _integer(setting, value, signed=kind == "int", size=size)
        case _:
            expected = {"bool": "true or false", "float": "a number", "chars": "a text", "bytes": "bytes in hex"}
            raise _wrong(setting, expected.get(kind, "a whole number"), value)


def _integer(setting: Setting, value: int, *, signed: bool, size: int) -> bytes:
    try:
        return value.to_bytes(size, "little", signed=signed)
    except OverflowError:
        bits = 8 * size
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        raise _wrong(setting, f"a whole number from {low} to {high}", value) from None


def _float(setting: Setting, value: float, *, size: int) -> bytes:
    try:
        return struct.pack({4: "<f", 8: "<d"}[size], value)
    except OverflowError:
        raise _wrong(setting, f"a number that fits {size} bytes", value) from None


def _text(setting: Setting, value: str, *, size: int) -> bytes:
    content = value.encode()
    if len(content) >= size or b"\0" in content:
        raise _wrong(setting, f"a text of at most {size - 1} bytes without NUL", value)
    return content.ljust(size, b"\0")


def _hex(setting: Setting, value: str, *, size: int) -> bytes:
    try:
        content = bytes.fromhex(value.removeprefix("0x"))
    except ValueError:
        content = b"\0" * (size + 1)
    if len(content) > size:
        raise _wrong(setting, f"at most {size} bytes in hex", value)
    return content.ljust(size, b"\0")


def _enum_number(setting: Setting, value: str | int) -> int:
    if isinstance(value, int):
        return value
    for number, name in setting.values.items():
        if name == value:
            return int(number)
    raise _wrong(setting, f"one of {', '.join(setting.values.values())}", value)


def _has_negative(setting: Setting) -> bool:
    return any(number.startswith("-") for number in setting.values)


def _wrong(setting: Setting, expected: str, found: object) -> BadSetting:
    return BadSetting(f"Setting '{setting.name}' ({setting.type}) takes {expected}; found {found!r}.")
