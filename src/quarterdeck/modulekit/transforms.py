"""Transforms: a table's `.wasm` or `.wasm.c` → checked bytes, and the columns that it says it makes.

Owns the way from what a guest describes to the table's columns; what a guest is and how it runs is `wasm`'s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace as changed

from quarterdeck.model.errors import BadManifest, BadTransform
from quarterdeck.model.manifests import TableSpec
from quarterdeck.model.modules import Field, FieldKind, SourceKind, TableSource
from quarterdeck.model.tables import NAME_PATTERN, SERVER_COLUMNS, Column, ColumnRole, ColumnType
from quarterdeck.modulekit import cache
from quarterdeck.modulekit.meanings import role_of, unit_of
from quarterdeck.modulekit.names import nearest
from quarterdeck.modulekit.plan import TIME
from quarterdeck.wasm.build import FLAGS, INCLUDE, compile_guest
from quarterdeck.wasm.check import check
from quarterdeck.wasm.description import Description
from quarterdeck.wasm.errors import CompileFailed, WasmError


def build_transform(files: Mapping[str, bytes], name: str) -> tuple[bytes, Description]:
    """The wasm of a table's `transform`, compiled if it is C, and what it says of itself."""
    if name not in files:
        raise BadManifest(f"module.toml: transform '{name}' is not in the module's folder.", hint=nearest(name, files))
    try:
        wasm = _compiled(files, name) if name.endswith(".c") else files[name]
        return wasm, check(wasm)
    except CompileFailed as error:
        lines = tuple(str(error).splitlines())
        first = next((line for line in lines if "error:" in line), lines[0] if lines else "")
        raise BadTransform(f"The transform does not compile: {first}", lines=lines) from error
    except WasmError as error:
        raise BadTransform(f"{name}: {error}.") from error


def _compiled(files: Mapping[str, bytes], name: str) -> bytes:
    sources = {each: content for each, content in files.items() if each.endswith((".c", ".h"))}
    headers = [path.read_bytes() for path in sorted(INCLUDE.glob("*.h"))]
    content = [part for each in sorted(sources) for part in (each, sources[each])]
    cached = cache.folder() / "transforms" / f"{cache.key(name, repr(FLAGS), *headers, *content)}.wasm"
    if not cached.exists():
        with tempfile.TemporaryDirectory(prefix="qd-build-") as folder:
            for each, text in sources.items():
                path = Path(folder, each)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text)
            out = Path(folder, "out.wasm")
            try:
                compile_guest(Path(folder, name), out)
            except CompileFailed as error:
                raise CompileFailed(str(error).replace(f"{folder}/", "")) from error
            cache.store(cached, out.read_bytes())
    return cached.read_bytes()


def transformed(source: TableSource, spec: TableSpec, described: Description, file: str) -> TableSource:
    """The source of a table whose columns a transform makes; BadManifest or BadTransform where they do not fit."""
    _check_input(source, spec, described, file)
    names = [each.name for each in described.columns]
    columns = [_column(each.name, each.type, names, file) for each in described.columns]
    for name, override in spec.columns.items():
        if name not in names:
            raise BadManifest(
                f"module.toml: column '{name}' of table '{spec.name}': {file} makes no such column.",
                hint=nearest(name, names),
            )
        at = names.index(name)
        columns[at] = changed(
            columns[at],
            unit=override.unit if override.unit is not None else columns[at].unit,
            description=override.description or columns[at].description,
            role=override.role or columns[at].role,
            histogram=override.histogram if override.histogram is not None else columns[at].histogram,
        )
    timed = [column for column in columns if column.role is ColumnRole.TIME]
    others = [column for column in columns if column not in timed]
    record_size = source.record_size or sum(described.input.sizes)
    table = changed(source.table, columns=(*(timed or [TIME]), *others))
    # The guest writes the columns, so nothing is read; but a moment needs its clock.
    clocks = {name: override.clock for name, override in spec.columns.items() if override.clock}
    fields = tuple(
        Field(column=name, kind=FieldKind.SCALAR, offset=0, size=8, clock=clock) for name, clock in clocks.items()
    )
    return changed(source, table=table, transform=file, record_size=record_size, fields=fields)


def _check_input(source: TableSource, spec: TableSpec, described: Description, file: str) -> None:
    wanted, found = described.input, ""
    if source.kind is SourceKind.RECORDS:
        if wanted.kind == "entry":
            found = "records of a ring or perf buffer (use QD_TRANSFORM)"
        elif wanted.sizes and source.record_size and wanted.sizes[0] != source.record_size:
            found = f"records of {source.record_size} bytes"
    elif wanted.kind != "entry":
        found = "entries of a map (use QD_TRANSFORM_ENTRIES)"
    elif wanted.sizes != (source.key_size, source.record_size - source.key_size):
        found = f"keys of {source.key_size} and values of {source.record_size - source.key_size} bytes"
    if found:
        sizes = " and ".join(map(str, wanted.sizes))
        raise BadTransform(
            f"{file} takes {wanted.kind} input of {sizes or 'any'} bytes, but table '{spec.name}' gives {found}.",
            hint="Both must use the same struct, with types of a fixed width such as u32 and u64.",
        )


def _column(name: str, kind: str, names: list[str], file: str) -> Column:
    if not NAME_PATTERN.fullmatch(name) or name in {column.name for column in SERVER_COLUMNS}:
        raise BadTransform(
            f"{file}: '{name}' is not a name for a column.",
            hint="A name is 1 to 63 of a–z, 0–9 and _, starts with a letter, and is neither gid nor nid.",
        )
    item = ColumnType(kind[5:-1]) if kind.startswith("list<") else None
    column = Column(name=name, type=ColumnType.LIST if item else ColumnType(kind), item=item, unit=unit_of(name))
    if name == "time":
        if column.type is not ColumnType.TIMESTAMP:
            raise BadTransform(f"{file}: the column 'time' is {column.type}, expected timestamp_ns.")
        return changed(column, role=ColumnRole.TIME)
    return changed(column, role=role_of(name, column.type, names))
