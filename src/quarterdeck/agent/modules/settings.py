"""Settings as bytes: writes the values of a deployment to the program's `const volatile` globals.

Owns the last check before the kernel gets a value: type, range and length, even if the server has checked them. It
never handles the settings of transforms; the guest's own setters take them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from msgspec.structs import replace

from quarterdeck.bpf.object import BpfObject
from quarterdeck.model.errors import BadSetting
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import TRANSFORM_SECTION, Build, Setting, TableSource


def chosen_settings(build: Build, given: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """Return the settings that differ from the source's initial values: defaults of the manifest, then `given`."""
    known = {setting.name for setting in build.settings}
    for name in given:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise BadSetting(f"Module {build.manifest.name} has no setting '{name}'; it has: {names}.")
    defaults = {name: spec.default for name, spec in build.manifest.settings.items() if spec.default is not None}
    return defaults | dict(given)


def apply_settings(opened: BpfObject, build: Build, chosen: Mapping[str, SettingValue]) -> None:
    """Write the program's settings into the first bytes of its sections. Raise BadSetting when a section is missing."""
    for setting in build.settings:
        if setting.name not in chosen or setting.section == TRANSFORM_SECTION:
            continue
        section = opened.maps.get(setting.section)
        if section is None or section.initial is None or setting.offset + setting.size > len(section.initial):
            raise BadSetting(f"Setting '{setting.name}' is in section {setting.section}, which the object lacks.")
        content = setting_bytes(setting, chosen[setting.name])
        section.initial[setting.offset : setting.offset + len(content)] = content


def transform_settings(build: Build, chosen: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """Return the settings that belong to transforms."""
    own = {setting.name for setting in build.settings if setting.section == TRANSFORM_SECTION}
    return {name: value for name, value in chosen.items() if name in own}


def with_owners(source: TableSource, build: Build, chosen: Mapping[str, SettingValue]) -> TableSource:
    """Return the source with the process id of stacks that a setting holds; 0 where the value is not a process id."""
    values = {setting.name: setting.default for setting in build.settings} | dict(chosen)
    fields = [
        replace(field, stack_owner=max(0, int(value)))
        if field.stack_setting and isinstance(value := values.get(field.stack_setting), int)
        else field
        for field in source.fields
    ]
    return replace(source, fields=tuple(fields))


def setting_bytes(setting: Setting, value: SettingValue) -> bytes:
    """Return `value` in the bytes of its C type, at most `setting.size`; raise BadSetting when it does not fit."""
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
