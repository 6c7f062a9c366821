"""Settings: the globals of a program that are set before it loads, the QD_SETTINGs of its transforms, and their values.

It owns the choice of the globals that are settings, their types and defaults, and the check of a value before it is
sent. The agent writes the bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from msgspec.structs import replace

from quarterdeck.bpf.declarations import ObjectFile, VariableDeclaration
from quarterdeck.bpf.layout import Field as Member
from quarterdeck.bpf.layout import FieldKind as MemberKind
from quarterdeck.bpf.layout import layout_of
from quarterdeck.model.errors import BadManifest, BadSetting
from quarterdeck.model.manifests import Manifest, SettingSpec, SettingValue
from quarterdeck.model.modules import TRANSFORM_SECTION, Setting
from quarterdeck.modulekit.names import nearest
from quarterdeck.wasm.description import NUMBER_TYPES, Description

_WRITABLE = (".bss", ".data")
_NUMBERS = {MemberKind.INT: "int", MemberKind.UINT: "uint", MemberKind.FLOAT: "float", MemberKind.BOOL: "bool"}


def program_settings(opened: ObjectFile, named: Collection[str] = ()) -> list[Setting]:
    """Return the settings of a program with the defaults of its source. Members of a struct are settings of their own.

    They are the `const volatile` globals, and of the other globals those in `named`, the settings of the manifest.
    """
    bare = {name.partition(".")[0] for name in named}
    return [
        setting
        for variable in opened.variables.values()
        if variable.is_setting or (variable.name in bare and variable.section.startswith(_WRITABLE))
        for member in layout_of(opened.btf, variable.type_id).fields
        if (setting := _setting(variable, member)) is not None
    ]


def _setting(variable: VariableDeclaration, member: Member) -> Setting | None:
    kind = _type_name(member)
    if not kind:
        return None
    value = variable.value.ljust(variable.size, b"\0")[member.offset : member.offset + member.size]
    return Setting(
        name=".".join((variable.name, *member.path)),
        section=variable.section,
        offset=variable.offset + member.offset,
        size=member.size,
        type=kind,
        default=_default(member, value),
        values={str(number): name for name, number in (member.enum or {}).items()},
    )


def _type_name(member: Member) -> str:
    """Return the setting's type as in `Setting.type`; "" for types that cannot be set (bit-fields)."""
    kind = member.kind
    suffix = ""
    if kind is MemberKind.ARRAY and member.element is not None:
        kind, suffix = member.element, f"[{member.count}]"
    if kind is MemberKind.BITFIELD or (suffix and kind in {MemberKind.CHARS, MemberKind.BYTES}):
        return ""
    return f"{_NUMBERS.get(kind, str(kind))}{suffix}"


def _default(member: Member, value: bytes) -> SettingValue:
    if member.kind is MemberKind.BYTES:
        return value.hex()
    decoded = np.frombuffer(value, dtype=member.dtype(), count=1)[0]
    if member.kind is MemberKind.CHARS:
        return bytes(decoded).decode("utf-8", "replace")
    return decoded.tolist() if member.kind is MemberKind.ARRAY else decoded.item()


def transform_settings(described: Iterable[Description]) -> list[Setting]:
    """Return the settings of transforms; two transforms may share one by its name."""
    found: dict[str, Setting] = {}
    for description in described:
        for each in description.settings:
            dtype = NUMBER_TYPES[each.type]
            kind = "bool" if each.type == "bool" else {"i": "int", "u": "uint", "f": "float"}[dtype.kind]
            found[each.name] = Setting(
                name=each.name,
                section=TRANSFORM_SECTION,
                offset=0,
                size=dtype.itemsize,
                type=kind,
                default=_number(each.default, kind),
            )
    return list(found.values())


def _number(text: str, kind: str) -> SettingValue | None:
    """Return the initial value in a transform's source if it is a plain number and not an expression."""
    try:
        if kind == "bool":
            return {"true": True, "1": True}.get(text, False)
        return float(text.rstrip("fF")) if kind == "float" else int(text.rstrip("uUlL"), 0)
    except ValueError:
        return None


def described_settings(settings: Iterable[Setting], manifest: Manifest) -> tuple[Setting, ...]:
    """Return the settings with the manifest's descriptions and defaults. Raise `BadManifest` for an unknown setting."""
    by_name = {setting.name: setting for setting in settings}
    for name, spec in manifest.settings.items():
        if name not in by_name:
            raise BadManifest(
                f"module.toml: [settings.{name}]: the program has no global variable '{name}' that can be set.",
                hint=nearest(name, by_name),
            )
        by_name[name] = _described(by_name[name], spec)
    return tuple(by_name.values())


def _described(setting: Setting, spec: SettingSpec) -> Setting:
    if spec.default is None:
        return replace(setting, description=spec.description)
    try:
        check_setting(setting, spec.default)
    except BadSetting as error:
        raise BadManifest(f"module.toml: default of {error.message}", hint=error.hint) from None
    return replace(setting, description=spec.description, default=spec.default)


def check_settings(settings: Iterable[Setting], given: Mapping[str, SettingValue]) -> None:
    """Raise `BadSetting` unless every value is valid for its setting."""
    by_name = {setting.name: setting for setting in settings}
    for name, value in given.items():
        if name not in by_name:
            raise BadSetting(f"There is no setting '{name}'.", hint=nearest(name, by_name))
        check_setting(by_name[name], value)


def check_setting(setting: Setting, value: SettingValue) -> None:
    """Raise `BadSetting` unless `value` is valid: by its type, range and length, or as one of an enum's names."""
    kind, _, count = setting.type.partition("[")
    if not count:
        _check_one(setting, kind, setting.size, value)
        return
    length = int(count.rstrip("]"))
    if not isinstance(value, list) or len(value) > length:
        raise _mismatch(setting, f"a list of at most {length} values", value)
    for item in value:
        _check_one(setting, kind, setting.size // length, item)


def _check_one(setting: Setting, kind: str, size: int, value: SettingValue) -> None:
    match kind:
        case "bool":
            fits, wanted = isinstance(value, bool), "true or false"
        case "float":
            fits, wanted = isinstance(value, int | float) and not isinstance(value, bool), "a number"
        case "chars":
            fits = isinstance(value, str) and len(value.encode()) < size and "\0" not in value
            wanted = f"text of at most {size - 1} bytes without NUL"
        case "bytes":
            fits, wanted = isinstance(value, str) and _is_hex(value, size), f"{size} bytes in hex"
        case _:
            fits, wanted = _fits_integer(setting, kind, size, value)
    if not fits:
        raise _mismatch(setting, wanted, value)


def _fits_integer(setting: Setting, kind: str, size: int, value: SettingValue) -> tuple[bool, str]:
    bits = 8 * size
    signed = kind == "int" or any(number.startswith("-") for number in setting.values)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if kind == "enum":
        names = ", ".join(setting.values.values())
        named = isinstance(value, str) and value in setting.values.values()
        numbered = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return named or numbered, f"one of {names}"
    fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    return fits, f"a whole number from {low} to {high}"


def _is_hex(value: str, size: int) -> bool:
    try:
        return len(bytes.fromhex(value.removeprefix("0x"))) <= size
    except ValueError:
        return False


def _mismatch(setting: Setting, wanted: str, value: object) -> BadSetting:
    found = repr(value) if len(repr(value)) <= 60 else repr(value)[:60] + "…"
    return BadSetting(f"Setting '{setting.name}' takes {wanted}, found {found}.")
