"""The exports and imports of a guest, and the call that reads its description.

It owns the table of signatures and the hints for authors who built something else (a WASI command, a component, an
object file). It checks only types, so that `unchecked` may call a guest that passed.
"""

from __future__ import annotations

import wasmtime

from quarterdeck.wasm.description import DESCRIPTION_LIMIT_BYTES, Description, Layout, parse_description
from quarterdeck.wasm.errors import InvalidGuest, RecordMismatch
from quarterdeck.wasm.instance import Instance

_Signature = tuple[tuple[str, ...], tuple[str, ...]]

EXPORTS: dict[str, _Signature] = {
    "qd_describe": ((), ("i64",)),
    "qd_input": (("i32",), ("i32",)),
    "qd_transform": (("i32", "i32", "i32"), ("i32",)),
}
INITIALIZE: _Signature = ((), ())
LOG_IMPORT: _Signature = (("i32", "i32", "i32"), ())
SETTER_PREFIX = "qd_set_"

#: wasm type in which a setting of each type is passed
SETTER_TYPES = {"uint64": "i64", "int64": "i64", "float32": "f32", "float64": "f64"}


def check_module(module: wasmtime.Module) -> None:
    """Raise `InvalidGuest` unless the module has the exports of a transform and imports nothing but the log."""
    exports = {export.name: export.type for export in module.exports}
    for imported in module.imports:
        _check_import(imported, is_command="_start" in exports)
    memory = exports.get("memory")
    if not isinstance(memory, wasmtime.MemoryType):
        raise InvalidGuest(
            f"the guest exports no memory named 'memory' (it exports {_names(list(exports))}): "
            'with wasm-ld leave out --import-memory; in WAT write (memory (export "memory") 2)'
        )
    for name, expected in EXPORTS.items():
        if name not in exports:
            raise InvalidGuest(
                f"the guest does not export {name} (it exports {_names(list(exports))}): in C, #include "
                '"quarterdeck.h", declare QD_TABLE(…) and write QD_TRANSFORM(…); other languages: '
                "docs/reference/wasm-abi.md"
            )
        _check_signature(name, exports[name], expected)
    if "_initialize" in exports:
        _check_signature("_initialize", exports["_initialize"], INITIALIZE)


def describe(instance: Instance) -> Description:
    """Return the guest's description after a check against its exports. Raise `InvalidGuest` or `TransformFailed`."""
    packed: int = instance.call("qd_describe") & 0xFFFFFFFFFFFFFFFF
    address, size = packed & 0xFFFFFFFF, packed >> 32
    if size > DESCRIPTION_LIMIT_BYTES or address + size > instance.size:
        raise InvalidGuest(
            f"qd_describe() points at {size} bytes at {address:#x} of {instance.size}: it returns the size of "
            f"the text in "
            f"its upper 32 bits (at most {DESCRIPTION_LIMIT_BYTES}) and the address in the lower"
        )
    return parse_description(instance.read(address, size))


def check_setters(module: wasmtime.Module, description: Description) -> None:
    """Raise `InvalidGuest` unless each setting has its setter."""
    exports = {export.name: export.type for export in module.exports}
    for setting in description.settings:
        name = SETTER_PREFIX + setting.name
        if name not in exports:
            raise InvalidGuest(f"the guest describes the setting {setting.name} but does not export {name}")
        _check_signature(name, exports[name], ((SETTER_TYPES.get(setting.type, "i32"),), ()))


def check_input(description: Description, layout: Layout, sizes: tuple[int, ...] | None) -> None:
    """Raise `RecordMismatch` unless the guest accepts spans of `layout` with these `sizes` (None: unknown)."""
    wanted = description.input
    if layout not in wanted.layouts:
        takes = ", ".join(layout.name for layout in wanted.layouts)
        raise RecordMismatch(
            f"the transform takes {takes}, the host would give it {layout.name}: use QD_TRANSFORM_ENTRIES for a "
            f"hash or "
            "array map, QD_TRANSFORM or QD_TRANSFORM_PAYLOADS for a ring or perf buffer"
        )
    if sizes is None or wanted.kind == "payload" or sizes == wanted.sizes:
        return
    name = f" ({wanted.type_name})" if wanted.type_name else ""
    raise RecordMismatch(
        f"the transform was compiled for {wanted.kind} sizes of {_sizes(wanted.sizes)} bytes{name}, the program gives "
        f"{_sizes(sizes)}: both must use the same struct, with types of a fixed width (u32, u64), since a "
        f"pointer, long or "
        "size_t has 4 bytes in wasm32 and 8 in BPF; then recompile the transform"
    )


def _check_import(imported: wasmtime.ImportType, *, is_command: bool) -> None:
    name = f"{imported.module}.{imported.name}"
    if name == "quarterdeck.log":
        _check_signature(name, imported.type, LOG_IMPORT)
        return
    if imported.module.startswith("wasi"):
        kind = "command" if is_command else "module"
        raise InvalidGuest(
            f"this is a WASI {kind}: it imports {name}, and a transform has no system to call. Build for "
            "wasm32-freestanding (C, Zig), wasm32-unknown-unknown (Rust) or wasm-unknown (TinyGo), without "
            "main(), and use no "
            "files, clocks or output; quarterdeck.log is there for logging"
        )
    raise InvalidGuest(
        f"the guest imports {name}; a transform may import quarterdeck.log(level, address, size) and nothing "
        f"else. In C an "
        "undefined function becomes an import: define it, or take it from quarterdeck.h"
    )


def _check_signature(name: str, found: object, expected: _Signature) -> None:
    if not isinstance(found, wasmtime.FuncType):
        raise InvalidGuest(f"{name} is not a function, expected {_signature(expected)}")
    actual = (tuple(str(value) for value in found.params), tuple(str(value) for value in found.results))
    if actual != expected:
        raise InvalidGuest(f"{name} has the type {_signature(actual)}, expected {_signature(expected)}")


def _signature(signature: _Signature) -> str:
    return " → ".join(f"({', '.join(types)})" for types in signature)


def _sizes(sizes: tuple[int, ...]) -> str:
    return " and ".join(str(size) for size in sizes)


def _names(names: list[str]) -> str:
    listed = ", ".join(names[:12]) or "nothing"
    return f"{listed} and {len(names) - 12} more" if len(names) > 12 else listed
