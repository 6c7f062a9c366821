"""Tables that share a ring or perf buffer: the members in `when` determine the table of a record.

It owns the translation of `when = { kind = "OPEN" }` to the bytes that the node compares, and the rule that all tables
of one buffer must have `when`. It never reads records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import TableSpec, TagValue
from quarterdeck.model.modules import Field, FieldKind, SourceKind, TableSource, Tag
from quarterdeck.modulekit.columns import Draft
from quarterdeck.modulekit.names import nearest

_LARGEST_TAG_BYTES = 8


def tags_of(spec: TableSpec, kind: SourceKind, drafts: Sequence[Draft]) -> tuple[Tag, ...]:
    """Return the tags of a record of `spec`. Raise `BadManifest` if a member is missing or not an integer."""
    if spec.when and (kind is not SourceKind.RECORDS or spec.transform):
        raise BadManifest(
            f"module.toml: table '{spec.name}': when is for records of a ring or perf buffer, without a transform.",
            hint="A transform gets every record and leaves out what it does not want; a map's entries are all rows.",
        )
    by_path = {draft.path.replace(".", "_"): draft for draft in drafts}
    return tuple(_tag(spec, name, wanted, by_path) for name, wanted in spec.when.items())


def _tag(spec: TableSpec, name: str, wanted: TagValue | tuple[TagValue, ...], by_path: Mapping[str, Draft]) -> Tag:
    draft = by_path.get(name.replace(".", "_"))
    if draft is None:
        raise _wrong(spec, name, "names a member that a record lacks", nearest(name, by_path))
    field = draft.field
    if field.kind is not FieldKind.SCALAR or field.floating or field.size > _LARGEST_TAG_BYTES:
        raise _wrong(spec, name, "names a member that is no whole number", "Use the one that holds the record's kind.")
    values = wanted if isinstance(wanted, tuple) else (wanted,)
    if not values:
        raise _wrong(spec, name, "has no value", f"For example when = {{ {name} = 1 }}.")
    return Tag(offset=field.offset, size=field.size, values=tuple(_bits(spec, name, each, draft) for each in values))


def _bits(spec: TableSpec, name: str, value: TagValue, draft: Draft) -> int:
    """Return the value as in the record, read as an unsigned little-endian number."""
    field, number = draft.field, value
    if isinstance(value, str):
        numbers = {each: int(key) for key, each in (draft.column.values or {}).items()}
        if value not in numbers:
            raise _wrong(spec, name, f"has '{value}', which is not one of its values", nearest(value, numbers))
        number = numbers[value]
    try:
        return int.from_bytes(_encoded(int(number), field), "little")
    except OverflowError:
        raise _wrong(spec, name, f"has {value}, which {field.size} bytes do not hold", "") from None


def _encoded(number: int, field: Field) -> bytes:
    order = "big" if field.big_endian else "little"
    return number.to_bytes(field.size, order, signed=number < 0)


def check_shared(sources: Sequence[TableSource]) -> None:
    """Raise `BadManifest` unless tables that read the same buffer distinguish its records."""
    for index, source in enumerate(sources):
        for other in sources[:index]:
            if source.kind is not SourceKind.RECORDS or not set(source.maps) & set(other.maps):
                continue
            both = f"tables '{other.table.name}' and '{source.table.name}' are both filled from '{source.maps[0]}'"
            if source.transform or other.transform:
                raise BadManifest(
                    f"module.toml: {both}, and one of them by a transform, which takes every record.",
                    hint="Fill one table with the transform, or both without.",
                )
            if source.maps != other.maps:
                raise BadManifest(f"module.toml: {both}, but one from more.", hint="Give both the same `from`.")
            if not (source.tags and other.tags):
                raise BadManifest(
                    f"module.toml: {both}, and nothing distinguishes their records.",
                    hint='Set it in each by a member that both structs begin with: when = { kind = 1 }, or its "NAME".',
                )


def _wrong(spec: TableSpec, name: str, what: str, hint: str) -> BadManifest:
    return BadManifest(f"module.toml: table '{spec.name}': when.{name} {what}.", hint=hint)
