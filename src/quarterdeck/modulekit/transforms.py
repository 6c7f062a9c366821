"""Transforms: a table's `.wasm` or `.wasm.c` → checked bytes, and the columns that the guest describes.

It owns the translation of a guest's description to the table's columns. `wasm` defines guests and runs them.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace as changed

from quarterdeck.model.errors import BadManifest, BadTransform
from quarterdeck.model.manifests import TableSpec
from quarterdeck.model.modules import Field, FieldKind, SourceKind, TableSource
from quarterdeck.model.tables import NAME_PATTERN, SERVER_COLUMNS, Column, ColumnRole, ColumnType
from quarterdeck.modulekit import cache
from quarterdeck.modulekit.compiler import Compiler, workplace
from quarterdeck.modulekit.meanings import role_of, unit_of
from quarterdeck.modulekit.names import nearest
from quarterdeck.modulekit.plan import TIME
from quarterdeck.wasm.build import FLAGS, INCLUDE, arguments
from quarterdeck.wasm.check import check
from quarterdeck.wasm.description import Description
from quarterdeck.wasm.errors import WasmError


def build_transform(files: Mapping[str, bytes], name: str, compiler: Compiler) -> tuple[bytes, Description]:
    """Return the wasm of a table's `transform`, compiled if it is C, and its description."""
    if name not in files:
        raise BadManifest(f"module.toml: transform '{name}' is not in the module's folder.", hint=nearest(name, files))
    wasm = _compiled(files, name, compiler) if name.endswith(".c") else files[name]
    try:
        return wasm, check(wasm)
    except WasmError as error:
        raise BadTransform(f"{name}: {error}.") from error


def _compiled(files: Mapping[str, bytes], name: str, compiler: Compiler) -> bytes:
    sources = {each: content for each, content in files.items() if each.endswith((".c", ".h"))}
    headers = [path.read_bytes() for path in sorted(INCLUDE.glob("*.h"))]
    content = [part for each in sorted(sources) for part in (each, sources[each])]
    made_by = (name, repr(FLAGS), repr(compiler.confined))
    cached = cache.folder() / "transforms" / f"{cache.key(*made_by, *headers, *content)}.wasm"
    if not cached.exists():
        with workplace(sources) as place:
            out = place.out / "out.wasm"
            compiled, output = compiler.run(arguments(place.sources / name, out), place, [INCLUDE])
            if not compiled:
                raise _compile_error(output.replace(f"{place.sources}/", ""))
            cache.store(cached, out.read_bytes())
    return cached.read_bytes()


def _compile_error(output: str) -> BadTransform:
    lines = tuple(output.strip().splitlines())
    first = next((line for line in lines if "error:" in line), lines[0] if lines else "the compiler gave no output")
    return BadTransform(f"The transform does not compile: {first}", lines=lines)


def transformed(source: TableSource, spec: TableSpec, described: Description, file: str) -> TableSource:
    """Return the source of a table whose columns a transform makes.

    Raise `BadManifest` or `BadTransform` on a mismatch.
    """
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
    # The guest writes the columns, so nothing is read, but a timestamp needs its clock.
    clocks = {name: override.clock for name, override in spec.columns.items() if override.clock}
    fields = tuple(
        Field(column=name, kind=FieldKind.SCALAR, offset=0, size=8, clock=clock) for name, clock in clocks.items()
    )
    return changed(source, table=table, transform=file, record_size=record_size, fields=fields)


def _check_input(source: TableSource, spec: TableSpec, described: Description, file: str) -> None:
    wanted, found = described.input, ""
    if source.kind is SourceKind.RECORDS:
        if wanted.kind == "entry":
            found = "records of a ring, a perf buffer or an iterator (use QD_TRANSFORM)"
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
